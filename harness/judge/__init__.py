"""A run against its objectives: pass, fail, inconclusive or invalid, and why."""

from harness.judge.model import Verdict
from harness.judge.verdict import judge

__all__ = ["Verdict", "judge"]
