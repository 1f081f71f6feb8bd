"""A game day: experiments in sequence on one deployment, one scorecard."""

from harness.gameday.model import Entry, GameDay, GameDayOptions, Previous
from harness.gameday.run import run_gameday

__all__ = ["Entry", "GameDay", "GameDayOptions", "Previous", "run_gameday"]
