"""Whether a rate limit is what the catalogue declares: its size, its answers, whom it harms."""

from harness.limits.judge import judge_limit
from harness.limits.measure import measure_limit

__all__ = ["judge_limit", "measure_limit"]
