"""A run against its objectives: pass, fail, inconclusive or invalid, and why."""

from harness.judge.model import (
    CONFIDENCE,
    EXIT_CODES,
    ObjectiveResult,
    Outcome,
    ValidityCheck,
    Verdict,
    load_verdict,
)
from harness.judge.validity import check_validity
from harness.judge.verdict import judge

__all__ = [
    "CONFIDENCE",
    "EXIT_CODES",
    "ObjectiveResult",
    "Outcome",
    "ValidityCheck",
    "Verdict",
    "check_validity",
    "judge",
    "load_verdict",
]
