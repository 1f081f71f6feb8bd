"""Accepted runs, kept in version control: what a release is compared with."""

from harness.baseline.measure import measure
from harness.baseline.model import TOTAL, AcceptedRun, Baseline, Conditions
from harness.baseline.store import BaselineStore

__all__ = ["TOTAL", "AcceptedRun", "Baseline", "BaselineStore", "Conditions", "measure"]
