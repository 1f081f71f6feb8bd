"""The Universal Scalability Law over the steps of a search whose concurrency is the service's."""

from __future__ import annotations

from collections.abc import Sequence

from harness.capacity.model import Step
from harness.errors import DataError
from harness.stats.capacity import ScalabilityLaw, fit_scalability


def fit_law(steps: Sequence[Step]) -> tuple[ScalabilityLaw | None, str | None]:
    """The law, or None and why it is not fitted.

    Only steps that held count: in overload the requests under way are the arrivals that pile up,
    not work that the service does side by side. Nor do steps in which requests waited for a
    connection.
    """
    usable = [s for s in steps if s.outcome == "held" and not s.waited and (s.concurrency or 0) > 0]
    if not usable:
        return None, "no step held, and in overload the concurrency is a queue's"
    try:
        law = fit_scalability(
            [s.concurrency or 0.0 for s in usable], [s.completed_rate for s in usable]
        )
    except DataError as problem:
        return None, f"of the steps that held: {problem}"
    return law, None
