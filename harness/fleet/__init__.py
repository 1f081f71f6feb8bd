"""All services one after the other, each with its own verdict, on one scorecard."""

from harness.fleet.model import Entry, Fleet, FleetOptions
from harness.fleet.run import run_fleet

__all__ = ["Entry", "Fleet", "FleetOptions", "run_fleet"]
