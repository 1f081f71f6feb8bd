"""Runs by the names people use for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import RecordError
from harness.record.run import check_schema
from harness.storage import is_held, read_object
from harness.units import NANOSECONDS

_MOST_NAMED = 5

VERDICT_FILES = ("experiment.json", "scaling.json", "verdict.json")
"""Where a record's verdict stands: the first that is there is the record's only one."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A line of `harness runs`; what the record does not say is None."""

    id: str
    service: str
    scenario: str | None
    profile: str | None
    created: datetime | None
    status: str
    outcome: str | None
    problem: str | None
    directory: Path


def find_run(root: Path, name: str) -> Path:
    """The directory of a run given as id, unique prefix, path, `latest` or `<service>/latest`.

    `<service>/<id or prefix>` works too. Raises RecordError naming the candidates when the name
    fits none or several.
    """
    path = Path(name)
    if (path / "run.json").is_file():
        return path
    if path.name == "run.json" and path.is_file():
        return path.parent
    service, _, wanted = name.strip("/").rpartition("/")
    found = [
        directory
        for directory in _directories(root)
        if not service or directory.parent.name == service
    ]
    if wanted == "latest":
        if not found:
            where = f" of {service}" if service else ""
            raise RecordError(f"{root}: no run{where} recorded yet", "`make perf` makes one")
        return max(found, key=_age)
    fitting = [directory for directory in found if wanted and directory.name.startswith(wanted)]
    exact = [directory for directory in fitting if directory.name == wanted]
    fitting = exact or fitting
    if not fitting:
        raise RecordError(
            f"no run {name!r} in {root}", "`harness runs` lists them; `latest` is the newest"
        )
    if len(fitting) > 1:
        names = ", ".join(sorted(directory.name for directory in fitting)[:_MOST_NAMED])
        raise RecordError(
            f"{name!r} fits {len(fitting)} runs: {names}", "give more of the run's name"
        )
    return fitting[0]


def list_runs(root: Path, service: str | None = None) -> list[RunSummary]:
    """Every run under `root`, newest first; a damaged one is listed with its problem."""
    found = [
        _summary(directory)
        for directory in _directories(root)
        if service is None or directory.parent.name == service
    ]
    return sorted(found, key=lambda run: run.id, reverse=True)


def _directories(root: Path) -> Iterator[Path]:
    try:
        for path in root.glob("*/*/run.json"):
            yield path.parent
    except OSError as error:
        raise RecordError(f"{root}: cannot be read: {error.strerror}") from None


def _age(directory: Path) -> tuple[str, int]:
    """Ascending with time: the second in the name, then which of its runs ended last."""
    return directory.name.partition("-")[0], (directory / "run.json").stat().st_mtime_ns


def _summary(directory: Path) -> RunSummary:
    try:
        meta = read_object(directory / "run.json")
        check_schema(directory / "run.json", meta)
    except RecordError as error:
        return RunSummary(
            directory.name, directory.parent.name, None, None, None, "unreadable", None,
            error.problem, directory,
        )  # fmt: skip
    state = str(meta.get("state"))
    return RunSummary(
        id=directory.name,
        service=directory.parent.name,
        scenario=_text(meta, "plan", "traffic", "scenario"),
        profile=_text(meta, "plan", "profile", "name"),
        created=_instant(meta.get("created_unix_ns")),
        status="partial" if state == "running" and not is_held(directory) else state,
        outcome=_outcome(directory),
        problem=None,
        directory=directory,
    )


def _instant(unix_ns: object) -> datetime | None:
    if not isinstance(unix_ns, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(unix_ns / NANOSECONDS, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _text(value: object, *keys: str) -> str | None:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _outcome(directory: Path) -> str | None:
    path = next((path for name in VERDICT_FILES if (path := directory / name).is_file()), None)
    try:
        found = read_object(path) if path is not None else {}
    except RecordError:
        return None
    outcome = _text(found, "outcome")
    nothing_promised = found.get("objectives") == [] and outcome != "invalid"
    return "no verdict" if nothing_promised else outcome
