"""Baseline files: read with every defect explained, locked while they change, written diffable."""

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.baseline.model import SCHEMA, TOTAL, AcceptedRun, Baseline
from harness.bounded import read_file
from harness.errors import BaselineError
from harness.storage import write_atomic, writing
from harness.typed import first_problem

RESTORE = "restore it from version control"
MARKERS = ("<<<<<<< ", "||||||| ", ">>>>>>> ")
LONGEST_NAME = 200
"""Bytes of a service's or scenario's name: a file name may have 255, its suffix included."""

_BASELINES = TypeAdapter(tuple[Baseline, ...])


def check_name(kind: str, name: str, where: str) -> None:
    """Raise BaselineError unless the name can only be that of a file in its directory.

    Names come from records, and a record may come from anybody.
    """
    unsafe = (
        not name
        or name.startswith(".")
        or any(letter in "/\\" or not letter.isprintable() for letter in name)
        or len(name.encode(errors="replace")) > LONGEST_NAME
    )
    if unsafe:
        raise BaselineError(
            f"{where}: {kind} {name[:60]!r} cannot name a baseline file",
            "use a record that this harness wrote for a service of its catalogue",
        )


def parse_baselines(text: str, where: str, *, repair: bool = False) -> tuple[Baseline, ...]:
    """The groups in the text of one file; `where` names it in errors.

    Groups of the same conditions, as a merge that kept both sides leaves them, become one.
    Raises BaselineError for git's conflict markers, a run listed twice in one group (counted
    once with `repair`) or with different figures, figures that no run has, a schema this harness
    does not know, and any other damage.
    """
    if line := conflict_line(text):
        raise BaselineError(
            f"{where}:{line}: git left conflict markers in it",
            f"merge the two sides: harness baseline merge {where}",
        )
    if not text.strip():
        raise BaselineError(f"{where}: not a baseline file (it is empty)", RESTORE)
    try:
        document = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if not isinstance(document, dict):
            raise ValueError("it holds no JSON object")  # noqa: TRY301, TRY004 - worded once, below
        schema = document["schema"]
        groups = document["baselines"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BaselineError(f"{where}: not a baseline file ({error})", RESTORE) from None
    if schema != SCHEMA:
        raise BaselineError(
            f"{where}: schema {schema!r}, this harness knows {SCHEMA}", "update the harness"
        )
    try:
        found = _BASELINES.validate_python(groups)
    except ValidationError as error:
        raise BaselineError(f"{where}: {first_problem(error)}", RESTORE) from None
    for group in found:
        _refuse_impossible(group, where)
        if not repair:
            _refuse_duplicates(group, where)
    return unite((replace(group, runs=_once(group.runs, where)) for group in found), where)


def conflict_line(text: str) -> int | None:
    """The number of the first line that is one of git's conflict markers."""
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if line.startswith(MARKERS)), None)


def unite(groups: Iterable[Baseline], where: str) -> tuple[Baseline, ...]:
    """The groups with those of the same service, scenario and conditions made one.

    A run that several have counts once. Raises BaselineError where its figures differ.
    """
    united: dict[tuple[object, ...], Baseline] = {}
    for group in groups:
        key = (group.service, group.scenario, group.conditions)
        known = united.get(key)
        united[key] = group if known is None else _joined(known, group, where)
    return tuple(sorted(united.values(), key=_order))


def render_baselines(groups: Iterable[Baseline]) -> str:
    """The text of a file: the same for the same runs, whatever the order they came in."""
    document = {
        "schema": SCHEMA,
        "baselines": [dataclasses.asdict(group) for group in sorted(groups, key=_order)],
    }
    return json.dumps(document, indent=1, sort_keys=True, default=dict) + "\n"


def _order(group: Baseline) -> tuple[object, ...]:
    return (group.service, group.scenario, repr(dataclasses.astuple(group.conditions)))


def _joined(one: Baseline, other: Baseline, where: str) -> Baseline:
    notes = [*one.notes, *(note for note in other.notes if note not in one.notes)]
    return replace(one, runs=_once((*one.runs, *other.runs), where), notes=tuple(notes))


def _once(runs: Iterable[AcceptedRun], where: str) -> tuple[AcceptedRun, ...]:
    """Each run once, oldest first."""
    known: dict[str, AcceptedRun] = {}
    for run in runs:
        if not _same_figures(known.setdefault(run.id, run), run):
            raise BaselineError(
                f"{where}: run {run.id} stands in it twice, with different figures",
                "remove the wrong one, or restore the file from version control",
            )
    return tuple(known[name] for name in sorted(known))


def _same_figures(one: AcceptedRun, other: AcceptedRun) -> bool:
    """Whether two entries of one run measured the same: a label or who accepted it may differ."""
    return (one.seed, one.hold_s, one.throughput, dict(one.endpoints)) == (
        other.seed, other.hold_s, other.throughput, dict(other.endpoints)
    )  # fmt: skip


def _refuse_duplicates(group: Baseline, where: str) -> None:
    name, times = Counter(run.id for run in group.runs).most_common(1)[0] if group.runs else ("", 0)
    if times > 1:
        raise BaselineError(
            f"{where}: run {name} is listed {times} times, and would count {times} times",
            f"keep one of each: harness baseline merge {where}",
        )


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def _refuse_impossible(group: Baseline, where: str) -> None:
    for run in group.runs:
        if TOTAL not in run.endpoints:
            raise BaselineError(f"{where}: run {run.id} has no figures of all endpoints", RESTORE)
        for name, one in run.endpoints.items():
            counts = 0 <= one.completed <= one.offered and 0 <= one.failed <= one.offered
            if not counts or any(q[0] < 0 for q in one.quantiles.values()):
                raise BaselineError(
                    f"{where}: run {run.id}, {name}: figures that no run has (offered "
                    f"{one.offered}, completed {one.completed}, failed {one.failed})",
                    RESTORE,
                )


LOCK_S = 60.0
"""How long a change waits for another: each takes milliseconds, so a longer one is stuck."""

_POLL_S = 0.02


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep every other process from changing the files of a directory.

    The kernel drops the lock with its holder, and no file is left. Raises BaselineError when
    another holds it for a minute, RecordError where the directory cannot be used.
    """
    with writing(directory):
        handle = os.open(directory, os.O_RDONLY)
    try:
        _wait(handle, directory)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, directory: Path) -> None:
    until = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise BaselineError(
                    f"{directory}: another process has been changing it for {LOCK_S:.0f} s",
                    "find and end it: fuser -v " + str(directory),
                ) from None
            time.sleep(_POLL_S)
        except OSError as error:
            raise BaselineError(
                f"{directory}: cannot be locked: {error.strerror}", "keep baselines on a local disk"
            ) from None
        else:
            return


def read_text(path: Path) -> str:
    """The text of a file; raises BaselineError where there is none to read."""
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError:
        raise BaselineError(f"{path}: not a baseline file (not UTF-8 text)", RESTORE) from None
    except OSError as error:
        raise BaselineError(
            f"{path}: cannot be read: {error.strerror}", "name a baseline file"
        ) from None


def write_groups(path: Path, groups: Iterable[Baseline]) -> None:
    """Replace the file in one step; without a run there is no file."""
    kept = [group for group in groups if group.runs]
    if kept:
        write_atomic(path, render_baselines(kept))
    else:
        with writing(path.parent):
            path.unlink(missing_ok=True)
