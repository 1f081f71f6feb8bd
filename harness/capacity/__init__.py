"""The highest rate at which a service meets its objectives, and what a rate alone cannot say."""

from harness.capacity.model import CapacityResult, Search, Step
from harness.capacity.search import find_capacity
from harness.capacity.steps import Progress

__all__ = ["CapacityResult", "Progress", "Search", "Step", "find_capacity"]
