"""The highest rate at which a service meets its objectives, and what a rate alone cannot say."""

from harness.capacity.model import CapacityResult, Finding, Search, Share, Step
from harness.capacity.search import Measure, Progress, find_capacity

__all__ = [
    "CapacityResult",
    "Finding",
    "Measure",
    "Progress",
    "Search",
    "Share",
    "Step",
    "find_capacity",
]
