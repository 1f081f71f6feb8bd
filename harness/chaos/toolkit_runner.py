"""Chaos Toolkit in a process of its own: `toolkit_runner EXPERIMENT JOURNAL LIMIT PROBES`.

It gets ready, says `ready`, waits for a line on standard input, runs the experiment and writes
the journal. When standard input ends, or on SIGTERM, it ends through its rollbacks, which heal.
An action may take LIMIT seconds, a probe PROBES; whatever they started ends with this process.
"""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

from chaoslib import hypothesis, substitute
from chaoslib.exceptions import ActivityFailed
from chaoslib.experiment import run_experiment
from chaoslib.hypothesis import within_tolerance
from chaoslib.run import RunEventHandler
from chaoslib.types import Dry, Schedule, Strategy

from harness.chaos.context import current
from harness.chaos.events import send, take_over_stdin, take_over_stdout
from harness.chaos.experiment import is_ordinary, learn_document
from harness.chaos.limits import limit_activities
from harness.chaos.method import takes_value
from harness.chaos.processes import VARIABLE, adopt_orphans, end_started
from harness.chaos.rollbacks import ALWAYS, left_of, run_left
from harness.errors import HarnessError
from harness.redact import redact
from harness.storage import json_text, write_json
from harness.toolkit import (
    HTTP_ERROR,
    Activity,
    Document,
    Journal,
    Provider,
    Run,
    rollback_strategy,
    steady_strategy,
)

FREQUENCY_S = 1.0

MOST_KEPT = 1 << 16
"""Letters of a text, and items of a list, of what an activity gave that the journal keeps."""

MOST_DEEP = 100

_ending = threading.Event()


class _Events(RunEventHandler):  # type: ignore[misc]
    """Tells what Chaos Toolkit is doing."""

    def __init__(self, document: Document) -> None:
        steady = document.get("steady-state-hypothesis") or {}
        self._hypothesis = {id(probe) for probe in steady.get("probes") or ()}
        self.variables: dict[str, object] = {}
        self.journal: dict[str, object] = {}
        self.rolled_back: list[str] | None = None
        """The rollbacks that were begun; None: Chaos Toolkit did not come to them."""

    def started(self, experiment: object, journal: dict[str, object]) -> None:
        self.journal = journal

    def running(
        self,
        experiment: object,
        journal: object,
        configuration: object,
        secrets: object,
        *_: object,
    ) -> None:
        self.variables = {"configuration": configuration, "secrets": secrets}

    def start_method(self, experiment: object) -> None:
        send({"type": "chaos_child", "what": "method"})

    def start_rollbacks(self, experiment: object) -> None:
        self.rolled_back = self.rolled_back or []
        send({"type": "chaos_child", "what": "rollbacks"})

    def method_completed(self, experiment: object, state: object) -> None:
        send({"type": "chaos_child", "what": "method_end"})

    def start_activity(self, activity: Activity) -> None:
        if self.rolled_back is not None:
            self.rolled_back.append(str(activity.get("name")))
        if id(activity) not in self._hypothesis:
            send({"type": "activity", "what": "begin", "name": activity.get("name")})

    def activity_completed(self, activity: Activity, run: Run) -> None:
        if id(activity) in self._hypothesis:
            return
        if "tolerance" in activity and run.get("status") == "succeeded":
            self._check_tolerance(activity, run)
        error = run.get("exception")
        detail = error[-1].strip() if isinstance(error, list) and error else None
        send(
            {
                "type": "activity",
                "what": "end",
                "name": activity.get("name"),
                "status": run.get("status", "interrupted"),
                "detail": detail,
            }
        )

    def _check_tolerance(self, activity: Activity, run: Run) -> None:
        """Chaos Toolkit itself looks at the tolerances of the hypothesis only."""
        tolerance = activity["tolerance"]
        try:
            if isinstance(tolerance, str):
                tolerance = substitute(tolerance, *self.variables.values())
            met = tolerates(tolerance, run["output"], **self.variables)
        except Exception as problem:  # noqa: BLE001 - it names itself in the verdict
            run["status"] = "failed"
            run["exception"] = [f"its tolerance cannot be applied: {problem}"]
        else:
            run["tolerance_met"] = bool(met)

    def interrupted(self, experiment: object, journal: object) -> None:
        _interrupted(str(sys.exc_info()[1]))

    def signal_exit(self) -> None:
        if not _ending.is_set():
            problem = sys.exc_info()[1]
            _interrupted(f"{type(problem).__name__} {problem}".strip())

    def continuous_hypothesis_completed(
        self, experiment: object, journal: object, exception: Exception | None = None
    ) -> None:
        if exception is not None:
            _interrupted(str(exception))


def _interrupted(detail: str) -> None:
    send({"type": "chaos_child", "what": "interrupted", "detail": detail})


class _Logged(logging.Handler):
    """Tells what Chaos Toolkit only logs: controls that failed, and why it aborted."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        problem = record.exc_info[1] if record.exc_info else None
        if problem is None or "interrupted" in text:
            return
        detail = f"{type(problem).__name__}: {problem}".removesuffix(": ")
        if record.levelno == logging.CRITICAL:
            _interrupted(detail)
        if "ontrol" not in text:
            return
        name = text.split("'")[1] if "'" in text else "after the experiment"
        send({"type": "chaos_child", "what": "control", "name": name, "detail": detail})


def tolerates(tolerance: object, value: object, **variables: object) -> bool:
    """Whether a value is within a tolerance; a pattern may be that of a number, as of a status.

    Of a process or an HTTP request that is one, the exit code or the status decides: to Chaos
    Toolkit whatever it gave is true.
    """
    if isinstance(tolerance, dict) and tolerance.get("type") == "probe":
        return _answers_yes(tolerance, value, variables)
    if isinstance(tolerance, dict) and tolerance.get("type") == "regex":
        target = tolerance.get("target")
        found = value.get(target, value) if target and isinstance(value, dict) else value
        if isinstance(found, (int, float)):
            tolerance, value = {**tolerance, "target": None}, str(found)
    return bool(within_tolerance(tolerance, value, **variables))


def _answers_yes(
    tolerance: Mapping[str, object], value: object, variables: Mapping[str, object]
) -> bool:
    provider = cast("Provider", tolerance["provider"])
    given = provider.get("arguments") or {}
    arguments = {**given, "value": value} if takes_value(provider) else given  # type: ignore[dict-item]
    asked = {**tolerance, "provider": {**provider, "arguments": arguments}}
    try:
        answer = hypothesis.run_activity(
            asked, variables.get("configuration"), variables.get("secrets")
        )
    except ActivityFailed:
        return False
    if provider["type"] == "process":
        return bool(answer["status"] == 0)
    return answer["status"] < HTTP_ERROR if provider["type"] == "http" else bool(answer)


def _holds(tolerance: object, value: object, **variables: object) -> bool:
    """The same of the hypothesis: a value to which it cannot be applied is not within it.

    Chaos Toolkit would end there, without its rollbacks.
    """
    try:
        return tolerates(tolerance, value, **variables)
    except Exception:  # noqa: BLE001 - whatever the value makes of it
        return False


def main(experiment: Path, journal_path: Path, limit_s: float, probes_s: float) -> int:
    """Run one experiment; 0 when Chaos Toolkit came to its end, whatever it found."""
    take_over_stdout()
    owner = take_over_stdin()
    adopt_orphans()
    document = json.loads(experiment.read_text(encoding="utf-8"))
    learn_document(document)
    if VARIABLE in os.environ:
        _ask_once()
    send({"type": "chaos_child", "what": "ready", "pid": os.getpid()})
    if not owner.readline():
        return 1
    threading.Thread(target=_end_with, args=(owner,), daemon=True).start()
    limit_activities(limit_s, probes_s)
    _listen_to_log()
    try:
        plain = carry_out(document)
        write_json(journal_path, redact(plain), finite=False)
        send(
            {
                "type": "chaos_child",
                "what": "end",
                "status": plain["status"],
                "deviated": plain["deviated"],
            }
        )
    except ValueError:  # a signal of ours comes back as a handler's ValueError
        if not _ending.is_set():
            raise
    finally:
        end_started()
    return 0


def _ask_once() -> None:
    """Find the entry points once, before a probe's time begins.

    What that imports and compiles takes a second of processor time with a cluster's client.
    """
    context = current()
    with suppress(HarnessError):  # the probe will tell
        context.platform.target(context.service, "global", None)


def carry_out(document: Document) -> Journal:
    """Chaos Toolkit's journal of an experiment, as JSON has it."""
    _read_dry(document)
    hypothesis.within_tolerance = _holds
    events = _Events(document)
    try:
        journal = run_experiment(
            document,
            settings={"runtime": {"rollbacks": {"strategy": _rollbacks(document)}}},
            strategy=_strategy(document),
            schedule=Schedule(continuous_hypothesis_frequency=FREQUENCY_S),
            event_handlers=[events],
        )
    except BaseException as problem:  # such as of a control that cannot be cleaned up
        rest = _roll_back(document, events, _rollbacks(document))
        if not events.journal or _ending.is_set():
            raise
        _interrupted(f"{type(problem).__name__}: {problem}{rest}")
        journal = {**events.journal, "status": "aborted"}
    else:
        if events.rolled_back is not None and (rest := _roll_back(document, events, ALWAYS)):
            _interrupted(f"its rollbacks were ended{rest}")
    return cast("Journal", json.loads(json_text(_kept(journal), finite=False)))


def _roll_back(document: Document, events: _Events, strategy: str) -> str:
    """Run the rollbacks that Chaos Toolkit has not begun; the end of a sentence that says so."""
    left = left_of(document, events.rolled_back or ())
    if not events.journal or not left:
        return ""
    ran = events.variables and run_left(
        document,
        left,
        strategy,
        cast("Journal", events.journal),
        tuple(events.variables.values()),
        events,
    )
    all_of_them = len(left) == len(document.get("rollbacks") or ())
    whose = "its rollbacks" if all_of_them else "those that were left"
    return f"; {whose} have run" if ran else "; no rollback has run"


def _kept(value: object, depth: int = 0) -> object:
    """What JSON can hold of a journal, without the floods that activities gave."""
    if isinstance(value, str):
        text = value[:MOST_KEPT].encode(errors="backslashreplace").decode()
        return text if len(value) <= MOST_KEPT else f"{text}… ({len(value):,} letters)"
    if depth == MOST_DEEP and isinstance(value, (Mapping, list, tuple)):
        return f"a {type(value).__name__}, nested too deeply"
    if isinstance(value, Mapping):
        return {str(key): _kept(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_kept(each, depth + 1) for each in value[:MOST_KEPT]]
    return value


def _strategy(document: Document) -> Strategy:
    """When the steady state is checked: as the file asks, else as Chaos Toolkit does by default.

    During a fault of the harness it is checked all the time.
    """
    usual = "default" if is_ordinary(document) else "continuously"
    return Strategy.from_string(steady_strategy(document) or usual)


def _rollbacks(document: Document) -> str:
    """The strategy that the file asks for; the faults of the harness are healed all the same."""
    return (
        rollback_strategy(document) or ALWAYS
    )  # by default a signal would leave the faults where they are


def _read_dry(document: Document) -> None:
    """Chaos Toolkit's library knows `dry` as its own type only, its files as a word."""
    for part in (document, *(document.get("method") or ()), *(document.get("rollbacks") or ())):
        if isinstance(part.get("dry"), str):
            part["dry"] = Dry.from_string(part["dry"])


def _listen_to_log() -> None:
    log = logging.getLogger("chaostoolkit")
    log.setLevel(logging.DEBUG)
    plain = logging.StreamHandler()
    plain.setLevel(logging.WARNING)
    for handler in (plain, _Logged()):
        log.addHandler(handler)


def _end_with(owner: TextIO) -> None:
    """Treat the end of what the owner says as SIGTERM: the rollbacks run."""
    while owner.readline():
        continue
    _ending.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
