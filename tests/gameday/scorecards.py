"""Made-up game days for the tests of their reports."""

from __future__ import annotations

from typing import Any

from harness.gameday.model import Entry, GameDay


def entry(name: str = "fail-region", outcome: Any = "pass", **more: Any) -> Entry:
    fields: dict[str, Any] = {
        "runs": (), "reasons": ("It did.",),
        "impact_s": 0.4, "detected_s": 2.0, "failed_over_s": 2.4, "recovery_s": 5.0,
        "recovery_low": 4.0, "recovery_high": 5.0, "error_ratio": 0.01, "budget_spent": 0.0004,
        "lost_writes": 0, "acknowledged": 1730, "rpo_s": 0.0, "duration_s": 50.0,
    }  # fmt: skip
    return Entry(name, f"The {name}", outcome, **(fields | more))


def day(*entries: Entry, **more: Any) -> GameDay:
    fields: dict[str, Any] = {
        "id": "20261125T180000Z-abcd", "service": "memorai", "platform": "lab", "mutants": (),
        "entries": entries, "skipped": (), "stopped": None,
        "began_unix_ns": 1_795_485_600_000_000_000, "duration_s": 100.0,
    }  # fmt: skip
    return GameDay(**(fields | more))
