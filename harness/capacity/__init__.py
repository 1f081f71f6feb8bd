"""The highest rate at which a service meets its objectives, and what a rate alone cannot say."""

from harness.capacity.model import CapacityResult, Finding, Search, Share, Step
from harness.capacity.search import find_capacity
from harness.capacity.steps import Measure, Progress

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
