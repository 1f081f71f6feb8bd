"""`harness lab`: the embedded lab for exploring by hand."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from harness.catalog import load_catalog
from harness.catalog.model import Service
from harness.cli.options import DURATION, was_given, with_options
from harness.cli.output import print_json, say
from harness.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from harness.platform.lab.own import OwnProgram
    from harness.platform.lab.platform import Lab

TTL_S = 7200.0
OWN_OPTIONS = (
    click.option("--command", metavar="CMD", help="Starts your own program as the replicas."),
    click.option("--image", metavar="NAME", help="Or: an image that the local Docker engine runs."),
    click.option("--port-env", metavar="NAME", help="Variable with its port (default: PORT)."),
    click.option("--ready", metavar="PATH", help="Answers when it is ready (default: /health)."),
    click.option("--ready-within", type=DURATION, help="It has so long to start (default: 60s)."),
    click.option("--stop-within", type=DURATION, help="And so long after SIGTERM (default: 10s)."),
    click.option("--path", metavar="PATH", help="What a load asks for (default: as --ready)."),
    click.option("--bad-release", metavar="CMD", help="Started by the fault bad-release."),
    click.option(
        "--restart", type=click.Choice(["always", "never"]), help="After it died (default: always)."
    ),
    click.option(
        "--dependency",
        "dependencies",
        multiple=True,
        metavar="HOST:PORT",
        help="An address that partition-dependency cuts off; may be given again.",
    ),
)
FOLLOW_S = 0.2


@click.group("lab")
def group() -> None:
    """Start, look at and end the embedded lab."""


@group.command("up")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--regions", default=1, help="How many regions; 2 of your own program.")
@click.option("--replicas", type=int, help="Per service and region; default: the service's own.")
@click.option("--edges", is_flag=True, help="An Envoy per region and a global one.")
@click.option(
    "--replication",
    type=click.Choice(["async", "sync"]),
    default="async",
    help="Whether a write is acknowledged before or after the other regions have it.",
)
@click.option(
    "--mutant",
    "mutants",
    multiple=True,
    metavar="NAME",
    help="Be broken in a known way, to try the harness itself (may be given again; `list` "
    "shows the names).",
)
@click.option("--ttl", default=TTL_S, help="Seconds until it ends by itself.")
@with_options(*OWN_OPTIONS)
def up(
    services: Sequence[str],
    *,
    regions: int,
    replicas: int | None,
    edges: bool,
    replication: Literal["async", "sync"],
    mutants: tuple[str, ...],
    ttl: float,
    **words: Any,
) -> None:
    """Start SERVICEs (default: memorai) and leave them running until `harness lab down`.

    With --command, or `lab:` in harness.yaml, the replicas are a program of your own, behind edges.
    """
    from harness.platform.lab import runtime
    from harness.platform.lab.mutants import MUTANTS
    from harness.platform.lab.options import LabOptions
    from harness.platform.lab.platform import Lab

    if "list" in mutants:
        width = max(map(len, MUTANTS))
        for name, what in MUTANTS.items():
            click.echo(f"{name:{width}}  {what}")
        return
    if not 1 <= ttl <= 7 * 86400:
        raise PlatformError(f"lab: --ttl {ttl:g}", "give 1 second to 7 days")
    for each in runtime.running():
        if each.plan["ttl_s"] is not None:
            raise PlatformError("a lab is up already", "see `harness lab status`, or end it first")
    started, program, shape = chosen(services, words)
    asked = {"regions": regions, "replicas": replicas}
    shape |= {name: value for name, value in asked.items() if was_given(name)}
    options = LabOptions(
        **shape,
        edges=edges or program is not None,
        replication=replication,
        mutants=mutants,
        program=program,
    )
    lab = Lab(options, None if program is None else say)
    try:
        lab.start(started, ttl_s=ttl)
        lab.wait_ready()
    except BaseException:
        lab.stop()
        raise
    _table(lab)
    click.echo(f"\nIt ends by itself in {ttl:g} s, or now with: harness lab down")
    if program is not None:
        click.echo(f"Now: harness perf, harness gameday; its logs: harness lab logs {program.name}")
    if lab.isolated:
        path = "/health" if program is None else program.ready
        first = next(place for place in lab.places if place.kind == "replica")
        click.echo(f"Enter it with: harness lab exec curl -s {first.url}{path}")


def chosen(
    services: Sequence[str], words: dict[str, Any]
) -> tuple[list[Service], OwnProgram | None, dict[str, Any]]:
    """The services to start, the program that stands for one of them, its regions and replicas.

    Raises UsageError for options of a program without a command.
    """
    from harness.project import find_project, url_service
    from harness.session.own import USUAL, parse_lab

    name = services[0] if services else None
    given = {word: value for word, value in words.items() if value not in (None, ())}
    project = find_project()
    if not {"command", "image"} & set(given) and not (project and project.lab and not services):
        if given:
            raise UsageError(
                f"--{min(given).replace('_', '-')} is for a program of your own",
                "add --command or --image",
            )
        catalog = load_catalog()
        return [catalog.service(each) for each in dict.fromkeys(services or ("memorai",))], None, {}
    if len(services) > 1:
        raise UsageError("one program cannot be several services", "name one of them, or none")
    if project and project.lab:
        start = () if not {"command", "image"} & set(given) else ("command", "image")
        filed = {name: value for name, value in project.lab.items() if name not in start}
        given, usual = {**filed, **given}, project.name
        where = project.root
    else:
        where, usual = Path.cwd(), Path.cwd().name
    program, shape = parse_lab(given, name or usual, where)
    service = url_service(program.name, "http://127.0.0.1")
    return [service], program, {**USUAL, **shape}


@group.command("status")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def status(*, as_json: bool) -> None:
    """Every lab of yours that runs, and each of its processes."""
    labs = _labs()
    if as_json:
        print_json([_document(lab) for lab in labs])
        return
    if not labs:
        click.echo("no lab is running")
    for lab in labs:
        kind = "explored" if lab.detached else "of a run"
        click.echo(f"{lab.directory.name} ({kind}, supervisor {lab.pid})")
        _table(lab)
        if lab.options.mutants:
            click.echo(f"  broken on purpose: {', '.join(lab.options.mutants)}")
        for left in _in_effect(lab):
            click.echo(f"  fault in effect: {left}")


def _in_effect(lab: Lab) -> list[str]:
    """The faults that this lab shows, in words."""
    name = lab.directory.name
    return [each.partition(": ")[2] for each in lab.residual_faults() if each.startswith(name)]


def _document(lab: Lab) -> dict[str, object]:
    urls = {place.id: place.url for place in lab.places}
    return {
        "name": lab.directory.name,
        "explored": lab.detached,
        "supervisor": lab.pid,
        "mutants": list(lab.options.mutants),
        "faults": _in_effect(lab),
        "processes": [{**state, "url": urls.get(name)} for name, state in lab.health().items()],
    }


@group.command("faults")
def list_faults() -> None:
    """Every fault kind with its arguments (and defaults), or why it cannot be done here."""
    from harness.faults.registry import kind_of
    from harness.platform.lab.platform import Lab

    for name, missing in Lab().capabilities().items():
        kind = kind_of(name)
        fields = kind.arguments.model_fields
        words = [
            each
            if fields[each].is_required() or fields[each].default is None
            else f"{each}={fields[each].default}"
            for each in kind.takes("lab")
        ]
        click.echo(f"{name:21} {' '.join(words)}".rstrip())
        if missing is not None:
            click.echo(f"{'':21} not here: {missing}")


@group.command("down")
@click.option("--all", "everything", is_flag=True, help="Also the labs of runs.")
def down(*, everything: bool) -> None:
    """End the lab that `up` started, and prove that nothing of it is left."""
    labs = [lab for lab in _labs() if everything or lab.detached]
    for lab in labs:
        name = lab.directory.name
        lab.stop()
        click.echo(f"{name} ended; no process, namespace or file of it is left")
    if not labs:
        click.echo("no lab is up")


@group.command("logs")
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as they grow.")
def logs(name: str | None, *, follow: bool) -> None:
    """Print the logs of all processes, or of NAME (as `status` prints it)."""
    lab = _explored()
    directory = lab.directory / "logs"
    paths = sorted(p for p in directory.glob("*.log") if name is None or p.name.startswith(name))
    if not paths:
        names = ", ".join(sorted(path.stem for path in directory.glob("*.log")))
        raise PlatformError(f"no log of {name!r}", f"there are {names}")
    read = dict.fromkeys(paths, 0)
    while True:
        for path in paths:
            read[path] = _print_from(path, read[path])
        if not follow or not directory.is_dir():
            return
        time.sleep(FOLLOW_S)


@group.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(command: Sequence[str]) -> int:
    """Run COMMAND inside the lab's network; its exit code is returned."""
    lab = _explored()
    try:
        return subprocess.run([*lab.exec_prefix, *command], check=False).returncode
    except FileNotFoundError as problem:
        raise PlatformError(f"{problem.filename}: not found", "is it installed?") from None


def _labs() -> list[Lab]:
    from harness.platform.lab import runtime
    from harness.platform.lab.platform import Lab

    return [Lab.attach(each) for each in runtime.running()]


def _explored() -> Lab:
    for lab in _labs():
        if lab.detached:
            return lab
    raise PlatformError("no lab is up", "start one with `harness lab up`")


def _table(lab: Lab) -> None:
    """One line per process."""
    states = lab.health()
    width = max(len(place.id) for place in lab.places)
    for place in lab.places:
        state = states[place.id]
        restarts = f"restarted {state['restarts']} times" if state["restarts"] else ""
        click.echo(f"  {place.id:{width}}  {state['health']:8}  {place.url:28} {restarts}".rstrip())


def _print_from(path: Path, offset: int) -> int:
    """Print what a log holds after `offset`; returns where it ends."""
    try:
        with path.open("rb") as log:
            log.seek(offset)
            text = log.read()
    except OSError:
        return offset
    for line in text.decode(errors="replace").splitlines():
        click.echo(f"{path.stem}: {line}")
    return offset + len(text)
