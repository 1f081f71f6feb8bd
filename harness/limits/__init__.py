"""Whether a rate limit is what the catalogue declares: its size, its answers, whom it harms."""

from harness.limits.judge import judge_limit
from harness.limits.measure import measure_limit
from harness.limits.model import LimitVerdict, Measured

__all__ = ["LimitVerdict", "Measured", "judge_limit", "measure_limit"]
