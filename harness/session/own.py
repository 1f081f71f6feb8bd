"""The user's own program as the service under test: as harness.yaml or a lab that is up has it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.catalog import load_catalog, project_root
from harness.catalog.model import Service
from harness.errors import UsageError
from harness.platform.lab import runtime
from harness.platform.lab.options import LabOptions
from harness.platform.lab.own import HOST, OwnProgram, image_command
from harness.platform.lab.platform import Lab
from harness.project import FILE, Project, find_project, read_project, slug, url_service
from harness.units import parse_duration

USUAL: Mapping[str, int] = {"regions": 2, "replicas": 2}
"""Where nothing else is said: the least that can lose one of each."""

_SHAPE = ("regions", "replicas")
_DURATIONS = {"ready_within": "ready_within_s", "stop_within": "stop_within_s"}
_WORDS = ("command", "image", "port_env", "ready", "path", "bad_release", "restart", "dependencies")
FIELDS = (*_WORDS, *_DURATIONS, *_SHAPE)
"""What may stand under `lab:` in harness.yaml."""


@dataclass(frozen=True, slots=True)
class Own:
    """A program and the service that it stands for.

    `url` is what a load without a scenario asks for; None: the catalogue knows the service.
    `shape` are fields of LabOptions that were said; `up` is the lab that runs it already.
    """

    program: OwnProgram
    service: Service
    root: Path
    url: str | None
    shape: Mapping[str, Any] = field(default_factory=dict)
    up: runtime.Running | None = None


def find_own(name: str | None = None) -> Own | None:
    """The program of that name (None: any), in a lab that is up or in harness.yaml; None: neither.

    Raises UsageError and PlatformError for what is wrong with the file.
    """
    project = find_project()
    if name is None and project is not None and project.url:
        return None  # which is what is meant there
    if name is None and project is not None:
        name = project.name
    found = (_that_is_up(), _of_project(project))
    return next((own for own in found if own and name in {None, own.service.name}), None)


def _that_is_up() -> Own | None:
    for lab in runtime.running():
        if lab.plan["ttl_s"] is None:
            continue  # another run's, and perhaps of another version
        program = LabOptions.parse(lab.plan["options"]).program
        if program is not None:
            path = Path(program.directory) / FILE
            return _own(program, read_project(path) if path.is_file() else None, {}, lab)
    return None


def _of_project(project: Project | None) -> Own | None:
    if project is None or not project.lab:
        return None
    program, shape = parse_lab(project.lab, project.name, project.root)
    return _own(program, project, shape, None)


def _own(
    program: OwnProgram,
    project: Project | None,
    shape: Mapping[str, Any],
    up: runtime.Running | None,
) -> Own:
    root = project_root()
    if (root / "services").is_dir() and program.name in load_catalog(root / "services").names():
        service = load_catalog(root / "services").service(program.name)
        return Own(program, replace(service, health_path=program.ready), root, None, shape, up)
    url = f"http://{HOST}{program.path or program.ready}"
    service = url_service(program.name, url, project.objectives if project else ())
    root = project.root if project else Path(program.directory)
    return Own(program, replace(service, health_path=program.ready), root, url, shape, up)


def parse_lab(
    words: Mapping[str, Any], name: str, directory: Path
) -> tuple[OwnProgram, dict[str, Any]]:
    """The program that `lab:` of harness.yaml, or the options of `harness lab up`, describe.

    And the fields of LabOptions besides. Raises UsageError for a word that is none.
    """
    for word in words:
        if word not in FIELDS:
            raise UsageError(f"lab: no field {word!r}", f"known are {', '.join(FIELDS)}")
    given = {word: words[word] for word in _WORDS if words.get(word) is not None}
    for word, to in _DURATIONS.items():
        if (value := words.get(word)) is not None:
            given[to] = value if isinstance(value, float) else _duration(word, value)
    shape = {word: words[word] for word in _SHAPE if words.get(word) is not None}
    if "image" in given:
        given |= _commands_of(given)
        shape["isolated"] = False  # the engine runs it on the host's network
    if "command" not in given:
        raise UsageError("lab: no command", "give the command that starts your program, or image")
    addresses = given.pop("dependencies", ())
    if not isinstance(addresses, list | tuple):
        raise UsageError(f"lab: dependencies is {addresses!r}", "give a list of host:port")
    program = OwnProgram(
        slug(name), directory=str(directory.resolve()), dependencies=tuple(addresses), **given
    )
    return program, shape


def _commands_of(given: Mapping[str, Any]) -> dict[str, str]:
    """The commands that run the image, and that of a bad release."""
    if "command" in given:
        raise UsageError("lab: command and image exclude each other", "give one of them")
    images = {"command": "image", "bad_release": "bad_release"}
    named = {to: (word, given[word]) for to, word in images.items() if word in given}
    for word, image in named.values():
        if not isinstance(image, str) or not image.strip() or image.startswith("-"):
            raise UsageError(f"lab: {word} is {image!r}", "give the name of an image: shop:1.2")
    port_env = str(given.get("port_env", "PORT"))
    return {to: image_command(image, port_env) for to, (_, image) in named.items()}


def _duration(word: str, value: object) -> float:
    try:
        return parse_duration(str(value))
    except ValueError as problem:
        raise UsageError(f"lab: {word}: {problem}", "write it as 60s") from None


def own_lab(
    own: Own,
    replicas: int | None,
    behaviour: Mapping[str, Any],
    needs: Mapping[str, Any],
    progress: Callable[[str], None],
) -> Lab:
    """The lab that is up, or one to be started with `needs` (LabOptions); raises UsageError."""
    if own.up is not None and needs.get("mutants"):
        raise UsageError("--mutant: the lab is up already", "give it to harness lab up")
    if behaviour:
        raise UsageError("--behaviour is for the reference service", "leave it out")
    if own.up is None:
        usual = {"replicas": USUAL["replicas"], **needs, **own.shape}
        if replicas is not None:
            usual["replicas"] = replicas
        options = LabOptions(**{**usual, "edges": True, "program": own.program})
        return Lab(options, progress)
    if replicas is not None:
        raise UsageError("--replicas: the lab is up already", "end it first: harness lab down")
    progress(f"on the lab that is up ({own.up.runtime.name})")
    return Lab.attach(own.up)
