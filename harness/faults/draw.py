"""Which of the ready replicas a fault hits: drawn by a seed, or those that were confirmed."""

import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harness.errors import PlatformError


@dataclass(frozen=True, slots=True)
class Among:
    """Who may be drawn: nobody of `held`, which other faults hold; of `confirmed` everybody.

    `confirmed` None: nothing is confirmed yet.
    """

    held: frozenset[str] = frozenset()
    confirmed: frozenset[str] | None = None


ANY = Among()


def draw(
    kind: str,
    ready: Sequence[str],
    among: Among = ANY,
    *,
    count: int | None = None,
    percent: float | None = None,
    seed: int = 1,
) -> list[str]:
    """Who is hit, in order: `count` or `percent` (rounded up) of `ready`, or all; PlatformError."""
    free = [name for name in ready if name not in among.held]
    if among.confirmed is not None:
        return _confirmed(kind, free, among.confirmed)
    if count is None:
        count = math.ceil(len(free) * (100.0 if percent is None else percent) / 100)
    if not 0 < count <= len(free):
        held = len(ready) - len(free)
        besides = f", {held} more are held by a fault before it" if held else ""
        remedy = "heal that one before" if held else "ask for 1 to all of them"
        raise PlatformError(f"{kind}: {count} of {len(free)} ready replicas{besides}", remedy)
    chosen = random.Random(seed).sample(sorted(free), count)  # noqa: S311 - no secret
    return [name for name in free if name in chosen]


def _confirmed(kind: str, free: Sequence[str], confirmed: Collection[str]) -> list[str]:
    found = [name for name in free if name in confirmed]
    if not found:
        raise PlatformError(
            f"{kind}: {', '.join(sorted(confirmed))} is not ready any more", "plan it again"
        )
    return found
