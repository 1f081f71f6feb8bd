"""The code of an experiment file, tried in a process of its own: it may end that, or hang.

`python -m harness.chaos.foreign` reads one request (JSON) and answers by one line for each part.
"""

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NotRequired, TypedDict, cast

from harness.chaos.events import take_over_stdout
from harness.chaos.limits import call_of, within
from harness.chaos.method import Settings
from harness.chaos.processes import adopt_orphans, end_session
from harness.errors import ExperimentError
from harness.process import descendants
from harness.toolkit import Activity
from harness.units import one_line

START_S = 60.0
"""What the start of that process may take on a busy machine, or the import of a module."""


class _Request(TypedDict):
    """What to import, and what to ask within how many seconds."""

    path: list[str]
    modules: list[str]
    activity: NotRequired[Activity]
    configuration: NotRequired[Settings]
    secrets: NotRequired[Settings]
    limit_s: NotRequired[float]


def check_imports(where: str, modules: Sequence[str]) -> None:
    """Raise ExperimentError where the import of a module ends its process, or hangs.

    What only raises is told by whoever imports it.
    """
    request: _Request = {"path": sys.path, "modules": list(modules)}
    told, problem = _asked(request, START_S)
    if problem is not None and len(told) < len(modules):
        raise ExperimentError(
            f"{where}: {modules[len(told)]} cannot be imported: {problem}", "correct the module"
        )


def answer_of(
    activity: Activity, configuration: Settings, secrets: Settings, limit_s: float
) -> object:
    """What an activity gives, as JSON has it; raises ValueError saying what became of it."""
    told, problem = _asked(
        {
            "path": sys.path,
            "modules": [],
            "activity": activity,
            "configuration": configuration,
            "secrets": secrets,
            "limit_s": limit_s,
        },
        START_S + limit_s,
    )
    if not told:
        raise ValueError(problem or "it gave nothing")
    if "problem" in told[0]:
        raise ValueError(str(told[0]["problem"]))
    return told[0].get("value")


def _asked(request: _Request, limit_s: float) -> tuple[list[Mapping[str, object]], str | None]:
    """The answers, and how the process ended that gave fewer than were asked for."""
    problem = None
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            text, _ = process.communicate(json.dumps(request, default=str).encode(), limit_s)
        except subprocess.TimeoutExpired as slow:
            text, problem = slow.output or b"", f"it did not end within {limit_s:g} s"
        finally:
            for pid in list(descendants(process.pid)):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            process.kill()
            end_session(process.pid)
    told = list(_read(text))
    return told, problem or _end_of(process.returncode)


def _read(text: bytes) -> Iterator[Mapping[str, object]]:
    for line in text.splitlines():
        with suppress(ValueError):
            yield json.loads(line)


def _end_of(code: int) -> str:
    if code >= 0:
        return f"its process ended with code {code}"
    return f"its process was ended by {signal.Signals(-code).name}"


def main() -> None:
    """Answer one request."""
    adopt_orphans()
    request = cast("_Request", json.load(sys.stdin))
    answers = take_over_stdout()
    sys.path[:] = request["path"]
    logging.getLogger("chaostoolkit").addHandler(logging.NullHandler())
    for module in request["modules"]:
        with suppress(Exception, SystemExit):
            importlib.import_module(module)
        answers.write("{}\n")
    if "activity" in request:
        answers.write(json.dumps(_answer(request), default=str) + "\n")


def _answer(request: _Request) -> Mapping[str, object]:
    from chaoslib.activity import run_activity  # noqa: PLC0415 - slow to import

    asked = request["activity"], request["configuration"], request["secrets"]
    try:
        return {"value": within(request["limit_s"], call_of(run_activity, *asked))}
    except BaseException as problem:  # noqa: BLE001 - whatever its module raises
        return {"problem": one_line(str(problem)) or type(problem).__name__}


if __name__ == "__main__":
    main()
