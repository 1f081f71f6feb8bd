"""The audit: reads back what was written, from each entry point, and says what it saw.

`python -m harness.chaos.audit PLAN.json`, started where the entry points can be reached. 404 is
"not there"; anything but an answer with the right id is unknown, never "missing".
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local

from harness.chaos.events import send, take_over_stdout
from harness.chaos.probe_client import Answer, Endpoint, ask
from harness.events import ReadStage
from harness.typed import adapter

READERS = 24
TIMEOUT_S = 2.0
ATTEMPTS = 3
"""A read that failed is asked again, so that a passing error does not leave a write unknown."""

GIVE_UP_AFTER = 30
"""Unknown answers in a row after which an entry point counts as closed; the rest is not asked."""

_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """Which ids to read at which entry points; `{id}` in `path` is the id."""

    entry_points: tuple[Endpoint, ...]
    path: str
    ids: tuple[str, ...]
    stage: ReadStage
    attempts: int = ATTEMPTS


def main(path: Path) -> int:
    """Read every id once at every entry point."""
    take_over_stdout()
    plan = adapter(AuditPlan).validate_json(path.read_text(encoding="utf-8"))
    for entry_point in plan.entry_points:
        _read_all(plan, entry_point)
    send({"type": "audit_child", "what": "end", "stage": plan.stage})
    return 0


def _read_all(plan: AuditPlan, entry_point: Endpoint) -> None:
    place = local()
    unknown = [0]

    def read(key: str) -> None:
        if unknown[0] >= GIVE_UP_AFTER:
            return
        if not hasattr(place, "connection"):
            place.connection = entry_point.connect(TIMEOUT_S)
        begin = time.monotonic_ns()
        for _ in range(plan.attempts):
            answer = ask(place.connection, entry_point, plan.path.replace("{id}", key), {})
            seen, value_ok = judge(answer, key)
            if seen is not None:
                break
        unknown[0] = unknown[0] + 1 if seen is None else 0
        send(
            {
                "type": "read",
                "where": entry_point.where,
                "stage": plan.stage,
                "id": key,
                "begin_ns": begin,
                "end_ns": time.monotonic_ns(),
                "seen": seen,
                "copies": None if seen is None else int(seen),
                "value_ok": value_ok,
                "error": answer.error,
            }
        )

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(read, plan.ids))


def judge(answer: Answer, key: str) -> tuple[bool | None, bool | None]:
    """(seen, value_ok) of one answer; None is unknown."""
    if answer.status == _NOT_FOUND:
        return False, None
    if not answer.ok:
        return None, None
    document = answer.document
    if not isinstance(document, dict):
        return None, None
    return True, str(document.get("id")) == key


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
