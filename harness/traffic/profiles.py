"""Load profiles: when requests become due. All of them are seeded; all but `closed` are open.

The named profiles stand here and nowhere else.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from harness.errors import ProfileError, did_you_mean
from harness.traffic.model import LoadProfile, Phase, Segment, Shape, Spacing
from harness.traffic.replay import replay
from harness.units import parse_duration, parse_rate

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

STAGES = "stages:"
"""How the name of a profile of one's own stages begins."""

OWN_ARRIVALS = ("replay:", STAGES)
"""How the names of profiles begin that say their rates and durations themselves."""

MOST_STAGES = 100
"""Each is a row of the report."""

DIURNAL_STEPS = 96
"""Straight pieces of a day's sine, a quarter of an hour each: at most 0.03 % of its swing off."""


def _segment(phase: Phase, seconds: float, begin: float, end: float | None = None) -> Segment:
    return Segment(phase, seconds, begin, begin if end is None else end)


def _lead_in(rate: float) -> tuple[Segment, ...]:
    """A tenth of the rate to warm up, then a ramp: what no verdict looks at."""
    return (_segment("warmup", WARMUP_S, rate / 10), _segment("ramp", RAMP_S, rate / 10, rate))


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


Course = Callable[[float, float], tuple[Segment, ...]]

NAMED: dict[str, tuple[Course, float, float, Spacing, str]] = {
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
    think_s: float | None = None,
    spawn_rate: float | None = None,
    shape: Shape | None = None,
) -> LoadProfile:
    """The profile of that name with the user's own rate (requests/s) and hold length (s).

    `replay:FILE` or `replay:FILE:COLUMN` repeats the instants in a file (see `replay`),
    `stages:1m:100,1m:0` goes through stages of one's own (see `staged`). `users` makes it the
    closed model, whose users wait `think_s` between an answer and their next request, and of whom
    `spawn_rate` a second begin; a locustfile's `shape` says all of it itself. Raises ProfileError
    for a name, rate, duration or combination that cannot be.
    """
    if seed is not None and not 0 <= seed < MAX_SEED:
        raise ProfileError(f"the seed is {seed}", "take a whole number from 0 to 2^63 - 1")
    of_users = {"users": users, "think time": think_s, "spawn rate": spawn_rate}
    if shape is not None:
        _refuse(shape.name, {"rate": rate, "spacing": spacing, **of_users})
        return shaped(shape, duration)
    if name.startswith("replay:"):
        _refuse(name, {"rate": rate, "duration": duration, "spacing": spacing, **of_users})
        return replay(name.removeprefix("replay:"), seed=seed)
    if name.startswith(STAGES):
        _refuse(name, {"rate": rate, "duration": duration, **of_users})
        return staged(name.removeprefix(STAGES), spacing or "poisson", 1 if seed is None else seed)
    if name not in NAMED:
        known = ", ".join((*NAMED, "replay:FILE", "stages:DURATION:RATE,…"))
        raise ProfileError(
            f"no load profile {name!r}", f"{did_you_mean(name.lower(), NAMED)}known are {known}"
        )
    hold = NAMED[name][2] if duration is None else duration
    _check("the duration", hold, MIN_DURATION_S, MAX_DURATION_S, "seconds")
    if users is None and think_s is not None:
        raise ProfileError("--think-time is for --users", "leave it out, or say how many users")
    if users is None:
        return _named(name, rate, hold, seed, spacing)
    if (rate, spacing) != (None, None):
        raise ProfileError(
            "users and a rate exclude each other", "a closed model's rate is what the users do"
        )
    if think_s is not None and not 0 <= think_s <= MAX_DURATION_S:
        raise ProfileError(f"the think time is {think_s:g} s", "give 0 s to 7 days")
    found = closed(users, hold, name, spawn_rate)
    return replace(found, seed=1 if seed is None else seed, think_s=think_s or 0.0)


def _refuse(name: str, asked: Mapping[str, object]) -> None:
    """Raise ProfileError where what the load says itself was asked for as well."""
    found = [word for word, value in asked.items() if value is not None]
    if found:
        raise ProfileError(
            f"{name} has its own instants", f"leave out the {' and the '.join(found)}"
        )


def _named(
    name: str, rate: float | None, hold: float, seed: int | None, spacing: Spacing | None
) -> LoadProfile:
    course, usual_rate, _, usual_spacing, _ = NAMED[name]
    rate = usual_rate if rate is None else rate
    _check("the rate", rate, 0.0, MAX_RATE, "requests/s")
    segments = course(rate, hold)
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


def closed(
    users: int, duration_s: float, name: str = "users", spawn_rate: float | None = None
) -> LoadProfile:
    """The closed model: `users` keep one request each under way, after a warm-up.

    A slow answer delays the next request, so it hides what a crowd would feel; its name says so.
    The warm-up lasts until all of them have begun, `spawn_rate` a second (default: within it).
    """
    if not 1 <= users <= MAX_USERS:
        raise ProfileError(f"{users} users", f"the closed model takes 1 to {MAX_USERS:,}")
    rate = users / WARMUP_S if spawn_rate is None else spawn_rate
    _check("the spawn rate", rate, 0.0, MAX_USERS, "users/s")
    warmup = max(WARMUP_S, users / rate)
    _check("the duration", warmup + duration_s, MIN_DURATION_S, MAX_DURATION_S, "seconds")
    return LoadProfile(
        name=f"{name} (closed, {users} users)",
        segments=(_segment("warmup", warmup, 0.0), _segment("hold", duration_s, 0.0)),
        users=users,
        spawn_rate=rate,
    )


def shaped(shape: Shape, duration_s: float | None) -> LoadProfile:
    """The closed model of a LoadTestShape, all of it judged; it may be cut at `duration_s`."""
    ends = [end for end in (shape.duration_s, duration_s) if end is not None]
    if not ends:
        raise ProfileError(f"{shape.name}.tick() never returns None", "add --duration")
    _check("the duration", min(ends), MIN_DURATION_S, MAX_DURATION_S, "seconds")
    return LoadProfile(
        name=f"{shape.name} (closed, up to {shape.users} users)",
        segments=(_segment("hold", min(ends), 0.0),),
        users=shape.users,
    )


def staged(text: str, spacing: Spacing = "poisson", seed: int = 1) -> LoadProfile:
    """Stages as `1m:100,5m:500,1m:0`: each goes in a straight line to its rate in its time.

    The first begins at 0; two equal rates in turn hold it. All of them are judged. Raises
    ProfileError with the stage that cannot be.
    """
    segments: list[Segment] = []
    rate = 0.0
    for number, stage in enumerate(text.split(","), 1):
        span, _, target = stage.partition(":")
        try:
            seconds, to_rate = parse_duration(span), parse_rate(target)
        except ValueError as error:
            raise ProfileError(f"stage {number}: {error}", "write 1m:100,5m:500,1m:0") from None
        _check(f"the duration of stage {number}", seconds, MIN_DURATION_S, MAX_DURATION_S, "s")
        if to_rate > MAX_RATE:
            _check(f"the rate of stage {number}", to_rate, 0.0, MAX_RATE, "requests/s")
        segments.append(_segment("hold", seconds, rate, to_rate))
        rate = to_rate
    if len(segments) > MOST_STAGES:
        raise ProfileError(f"{len(segments)} stages", f"give {MOST_STAGES} at most")
    _check("the duration", sum(s.duration_s for s in segments), 0.0, MAX_DURATION_S, "seconds")
    if total_arrivals(segments) < 1:
        raise ProfileError("the stages make less than one request", "raise a rate or a duration")
    return LoadProfile(f"{STAGES}{text}", tuple(segments), spacing=spacing, seed=seed)


def _check(what: str, value: float, least: float, most: float, unit: str) -> None:
    if not (value > 0 and least <= value <= most):  # false for NaN, too
        bounds = f"from {least:g}" if least else "above 0"
        raise ProfileError(f"{what} is {value:g} {unit}", f"it must be {bounds} up to {most:,.0f}")


def total_arrivals(segments: Iterable[Segment]) -> float:
    """The expected number of arrivals."""
    return sum(s.duration_s * (s.from_rate + s.to_rate) / 2 for s in segments)
