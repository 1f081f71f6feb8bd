"""Load profiles: when requests become due. All of them are seeded; all but `closed` are open.

The named profiles stand here and nowhere else.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.errors import ProfileError
from harness.traffic.model import LoadProfile, Phase, Segment, Spacing
from harness.traffic.replay import replay

MAX_RATE = 10_000_000.0
"""Requests/s beyond which a rate is taken for a slip of the keyboard."""

MIN_DURATION_S = 0.1
MAX_DURATION_S = 7 * 86_400.0
"""Seconds outside which a duration is taken for one; a day's pieces need a millisecond each."""

MAX_USERS = 1_000_000
MAX_SEED = 2**63

WARMUP_S = 5.0
RAMP_S = 5.0
"""Long enough for connections, caches and compilers to settle; never judged."""

DIURNAL_STEPS = 96
"""Straight pieces of a day's sine, a quarter of an hour each: at most 0.03 % of its swing off."""


def _segment(phase: Phase, seconds: float, begin: float, end: float | None = None) -> Segment:
    return Segment(phase, seconds, begin, begin if end is None else end)


def _lead_in(rate: float) -> tuple[Segment, ...]:
    """A tenth of the rate to warm up, then a ramp: what no verdict looks at."""
    return (
        _segment("warmup", WARMUP_S, rate / 10),
        _segment("ramp", RAMP_S, rate / 10, rate),
    )


def constant(rate: float, duration_s: float) -> tuple[Segment, ...]:
    """One rate, after warm-up and ramp."""
    return (*_lead_in(rate), _segment("hold", duration_s, rate))


def bare(rate: float, duration_s: float) -> tuple[Segment, ...]:
    """One rate from the first instant, all of it judged."""
    return (_segment("hold", duration_s, rate),)


def ramp(rate: float, duration_s: float) -> tuple[Segment, ...]:
    """From nothing to the rate, all of it judged."""
    return (_segment("hold", duration_s, 0.0, rate),)


def stairs(rate: float, duration_s: float, steps: int = 5) -> tuple[Segment, ...]:
    """Equal steps up to the rate."""
    lead = _lead_in(rate / steps)
    each = duration_s / steps
    return (*lead, *(_segment("hold", each, rate * (i + 1) / steps) for i in range(steps)))


def spike(rate: float, duration_s: float, factor: float = 3.0) -> tuple[Segment, ...]:
    """A third of the time at the rate, a sudden multiple of it, and the rate again."""
    third = duration_s / 3
    return (
        *_lead_in(rate),
        _segment("hold", third, rate),
        _segment("hold", third, rate * factor),
        _segment("hold", third, rate),
    )


def diurnal(rate: float, duration_s: float) -> tuple[Segment, ...]:
    """One day of a sine, from a fifth of the rate at night to the rate at noon."""
    low, each = rate / 5, duration_s / DIURNAL_STEPS

    def at(step: int) -> float:
        return low + (rate - low) * (1 - math.cos(2 * math.pi * step / DIURNAL_STEPS)) / 2

    day = (_segment("hold", each, at(i), at(i + 1)) for i in range(DIURNAL_STEPS))
    return (*_lead_in(low), *day)


Shape = Callable[[float, float], tuple[Segment, ...]]

NAMED: dict[str, tuple[Shape, float, float, Spacing, str]] = {
    "smoke": (constant, 100.0, 10.0, "poisson", "does it answer at all"),
    "perf": (constant, 10_000.0, 30.0, "poisson", "the release question: the objective's rate"),
    "gate": (constant, 500.0, 20.0, "poisson", "the merge question: drift"),
    "stress": (stairs, 20_000.0, 100.0, "poisson", "five steps to twice the objective"),
    "spike": (spike, 3_000.0, 60.0, "poisson", "three times the rate, suddenly"),
    "soak": (constant, 2_000.0, 3_600.0, "poisson", "an hour: leaks, growth, drift"),
    "diurnal": (diurnal, 5_000.0, 600.0, "poisson", "a day in ten minutes"),
    "ramp": (ramp, 10_000.0, 60.0, "poisson", "from nothing to the rate"),
    "constant": (bare, 1_000.0, 30.0, "constant", "evenly spaced, no warm-up"),
    "poisson": (bare, 1_000.0, 30.0, "poisson", "independent arrivals, no warm-up"),
}
"""name -> shape, rate (requests/s), hold (s), spacing, what it asks."""


def resolve_profile(
    name: str = "perf",
    *,
    rate: float | None = None,
    duration: float | None = None,
    seed: int | None = None,
    spacing: Spacing | None = None,
    users: int | None = None,
) -> LoadProfile:
    """The profile of that name with the user's own rate (requests/s) and hold length (s).

    `replay:FILE` or `replay:FILE:COLUMN` repeats the instants in a file (see `replay`). `users`
    makes it the closed model. Raises ProfileError for a name, rate, duration or combination that
    cannot be.
    """
    if seed is not None and not 0 <= seed < MAX_SEED:
        raise ProfileError(f"the seed is {seed}", "take a whole number from 0 to 2^63 - 1")
    if name.startswith("replay:"):
        if (rate, duration, spacing, users) != (None, None, None, None):
            raise ProfileError(
                f"{name} has its own instants", "leave out the rate, duration, spacing and users"
            )
        return replay(name.removeprefix("replay:"), seed=seed)
    if name not in NAMED:
        near = difflib.get_close_matches(name.lower(), NAMED, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        known = ", ".join((*NAMED, "replay:FILE"))
        raise ProfileError(f"no load profile {name!r}", f"{hint}known are {known}")
    shape, usual_rate, usual_hold, usual_spacing, _ = NAMED[name]
    hold = usual_hold if duration is None else duration
    _check("the duration", hold, MIN_DURATION_S, MAX_DURATION_S, "seconds")
    if users is not None:
        if (rate, spacing) != (None, None):
            raise ProfileError(
                "users and a rate exclude each other", "a closed model's rate is what the users do"
            )
        return replace(closed(users, hold, name), seed=1 if seed is None else seed)
    rate = usual_rate if rate is None else rate
    _check("the rate", rate, 0.0, MAX_RATE, "requests/s")
    segments = shape(rate, hold)
    _check("the peak rate", max(s.to_rate for s in segments), 0.0, MAX_RATE, "requests/s")
    if total_arrivals(s for s in segments if s.phase == "hold") < 1:
        raise ProfileError(
            f"{rate:g} requests/s for {hold:g} s is less than one request",
            "raise the rate or the duration",
        )
    return LoadProfile(
        name=name,
        segments=segments,
        spacing=spacing or usual_spacing,
        seed=1 if seed is None else seed,
    )


def closed(users: int, duration_s: float, name: str = "users") -> LoadProfile:
    """The closed model: `users` keep one request each under way, after a warm-up.

    A slow answer delays the next request, so it hides what a crowd would feel; its name says so.
    """
    if not 1 <= users <= MAX_USERS:
        raise ProfileError(f"{users} users", f"the closed model takes 1 to {MAX_USERS:,}")
    return LoadProfile(
        name=f"{name} (closed, {users} users)",
        segments=(_segment("warmup", WARMUP_S, 0.0), _segment("hold", duration_s, 0.0)),
        users=users,
    )


def _check(what: str, value: float, least: float, most: float, unit: str) -> None:
    if not (value > 0 and least <= value <= most):  # false for NaN, too
        bounds = f"from {least:g}" if least else "above 0"
        raise ProfileError(f"{what} is {value:g} {unit}", f"it must be {bounds} up to {most:,.0f}")


def total_arrivals(segments: Iterable[Segment]) -> float:
    """The expected number of arrivals."""
    return sum(s.duration_s * (s.from_rate + s.to_rate) / 2 for s in segments)
