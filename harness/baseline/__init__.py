"""Accepted runs, kept in version control: what a release is compared with."""

from harness.baseline.history import History, histories, history
from harness.baseline.measure import commit_of, conditions, conditions_of, measure
from harness.baseline.model import (
    QUANTILES,
    TOTAL,
    Acceptance,
    AcceptedRun,
    Baseline,
    Conditions,
    EndpointFigures,
)
from harness.baseline.store import BaselineStore, refuse_unfit, same_conditions

__all__ = [
    "QUANTILES",
    "TOTAL",
    "Acceptance",
    "AcceptedRun",
    "Baseline",
    "BaselineStore",
    "Conditions",
    "EndpointFigures",
    "History",
    "commit_of",
    "conditions",
    "conditions_of",
    "histories",
    "history",
    "measure",
    "refuse_unfit",
    "same_conditions",
]
