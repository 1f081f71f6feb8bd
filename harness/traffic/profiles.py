"""Load profiles: when requests become due. All of them are seeded; all but `closed` are open.

The named profiles stand here and nowhere else.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ProfileError
from harness.traffic.model import LoadProfile, Phase, Segment, Spacing
from harness.units import NANOSECONDS

MAX_RATE = 10_000_000.0
"""Requests/s beyond which a rate is taken for a slip of the keyboard."""

MAX_DURATION_S = 7 * 86_400.0
"""Seconds beyond which a duration is taken for one."""

WARMUP_S = 5.0
RAMP_S = 5.0
"""Long enough for connections, caches and compilers to settle; never judged."""

DIURNAL_STEPS = 96
"""Straight pieces of a day's sine: 0.05 % off at most."""


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

    `replay:FILE` replays the timestamps (seconds, one a line) of a file. `users` makes it the
    closed model. Raises ProfileError for a name, rate or duration that cannot be.
    """
    if name.startswith("replay:"):
        return replay(Path(name.removeprefix("replay:")), seed=seed)
    if name not in NAMED:
        near = difflib.get_close_matches(name, NAMED, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ProfileError(f"no load profile {name!r}", f"{hint}known are {', '.join(NAMED)}")
    shape, usual_rate, usual_hold, usual_spacing, _ = NAMED[name]
    rate = usual_rate if rate is None else rate
    hold = usual_hold if duration is None else duration
    _check("the rate", rate, MAX_RATE, "requests/s")
    _check("the duration", hold, MAX_DURATION_S, "seconds")
    if seed is not None and not 0 <= seed < 2**63:
        raise ProfileError(f"the seed is {seed}", "take a whole number from 0 to 2^63")
    profile = LoadProfile(
        name=name,
        segments=shape(rate, hold),
        spacing=spacing or usual_spacing,
        seed=1 if seed is None else seed,
    )
    if users is None:
        return profile
    if users < 1:
        raise ProfileError(f"{users} users", "the closed model needs at least one")
    segments = (_segment("warmup", WARMUP_S, 0.0), _segment("hold", hold, 0.0))
    return replace(profile, name=f"{name} (closed, {users} users)", segments=segments, users=users)


def replay(path: Path, *, seed: int | None = None) -> LoadProfile:
    """The arrivals of a file of timestamps: one number of seconds a line, `#` begins a comment.

    They are sorted and moved so that the first is due at the start. Raises ProfileError naming
    file and line.
    """
    times = _timestamps(path)
    first = times[0]
    due = tuple(round((time - first) * NANOSECONDS) for time in times)
    span = max(math.ceil(times[-1] - first + 1e-9), 1.0)
    _check(f"{path}: the span", span, MAX_DURATION_S, "seconds")
    rate = len(due) / span
    return LoadProfile(
        name=f"replay {path.name}",
        segments=(_segment("hold", float(span), rate),),
        seed=1 if seed is None else seed,
        replay_ns=due,
    )


def _timestamps(path: Path) -> list[float]:
    times: list[float] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: {error}", "name a text file of timestamps") from None
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip().rstrip(",")
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ProfileError(f"{path}:{number}: {text!r} is no time", "write seconds, one a line")
        times.append(value)
    if not times:
        raise ProfileError(f"{path}: no timestamps", "write seconds, one a line")
    return sorted(times)


def _check(what: str, value: float, most: float, unit: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ProfileError(f"{what} is {value:g} {unit}", "it must be a number above 0")
    if value > most:
        raise ProfileError(f"{what} is {value:g} {unit}", f"at most {most:g} is accepted")


def total_arrivals(segments: Sequence[Segment]) -> float:
    """The expected number of arrivals."""
    return sum(s.duration_s * (s.from_rate + s.to_rate) / 2 for s in segments)
