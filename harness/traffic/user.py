"""What a scenario subclasses; importing this imports Locust, which patches the process.

The class belongs to the load, which the package `traffic` does not import: it is named here for
the scenarios, which Locust may read alone (`locust -f`).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.load.user import TrafficUser
else:
    TrafficUser = import_module("harness.load.user").TrafficUser

__all__ = ["TrafficUser"]
