"""Load profiles: known shapes, overridable, and nothing absurd."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness._engine import schedule
from harness.errors import ProfileError
from harness.traffic import get
from harness.traffic.build import model_of, to_engine
from harness.traffic.model import LoadProfile
from harness.traffic.profiles import NAMED, resolve_profile, total_arrivals


class Anyone:
    """Something to send."""

    service = "memorai"
    mix = [get("/")]  # noqa: RUF012 - as scenarios are written


def due(profile: LoadProfile, limit: int = 1_000_000) -> np.ndarray[Any, Any]:
    """The engine's arrivals, in seconds."""
    plan = to_engine(model_of(Anyone), profile) | {"targets": ["http://h"]}
    return schedule(json.dumps(plan), limit) / 1e9


def hold(profile: LoadProfile) -> tuple[float, float]:
    (span,) = [(begin, end) for phase, begin, end in profile.phases() if phase == "hold"]
    return span


def test_the_named_profiles_are_there_and_perf_asks_the_objective() -> None:
    """10,000 requests a second, held for half a minute after warm-up and ramp."""
    assert {"smoke", "perf", "stress", "spike", "soak", "diurnal"} <= set(NAMED)
    perf = resolve_profile()
    assert (perf.name, perf.model, perf.spacing) == ("perf", "open", "poisson")
    assert perf.phases() == (("warmup", 0, 5), ("ramp", 5, 10), ("hold", 10, 40))
    assert perf.segments[-1].to_rate == 10_000
    smoke = resolve_profile("smoke")
    assert (smoke.segments[-1].to_rate, smoke.segments[-1].duration_s) == (100, 10)


@pytest.mark.parametrize("name", NAMED)
def test_every_named_profile_is_accepted_by_the_engine_and_repeats_itself(name: str) -> None:
    """The same seed gives the same arrivals, another seed others (Poisson)."""
    profile = resolve_profile(name, rate=20, duration=12, seed=3)
    first = due(profile)
    assert np.array_equal(first, due(resolve_profile(name, rate=20, duration=12, seed=3)))
    assert first.size == pytest.approx(total_arrivals(profile.segments), rel=0.5)
    other = due(resolve_profile(name, rate=20, duration=12, seed=4))
    assert np.array_equal(first, other) == (profile.spacing == "constant")


@pytest.mark.parametrize("name", NAMED)
def test_rate_and_duration_override_the_hold_of_every_profile(name: str) -> None:
    """Warm-up and ramp stay as they are."""
    profile = resolve_profile(name, rate=30, duration=6)
    begin, end = hold(profile)
    assert end - begin == pytest.approx(6)
    peak = 90 if name == "spike" else 30
    assert max(segment.to_rate for segment in profile.segments) == pytest.approx(peak)


def rate_in(profile: LoadProfile, begin: float, end: float) -> float:
    """Arrivals a second in a part of the hold, given as shares of it."""
    first, last = hold(profile)
    low, high = (first + share * (last - first) for share in (begin, end))
    instants = due(profile)
    return float(np.sum((instants >= low) & (instants < high)) / (high - low))


def test_stairs_climb_in_equal_steps() -> None:
    """A fifth of the rate more every fifth of the time."""
    stress = resolve_profile("stress", rate=500, duration=10, spacing="constant")
    for step in range(5):
        assert rate_in(stress, step / 5, (step + 1) / 5) == pytest.approx(
            100 * (step + 1), rel=0.02
        )


def test_a_spike_is_sudden_and_over_after_a_third() -> None:
    """Three times the rate between two equal thirds."""
    spike = resolve_profile("spike", rate=100, duration=9, spacing="constant")
    thirds = [rate_in(spike, i / 3, (i + 1) / 3) for i in range(3)]
    assert thirds == pytest.approx([100, 300, 100], rel=0.02)


def test_a_day_is_a_sine_between_a_fifth_and_the_whole_of_the_rate() -> None:
    """Night at both ends, noon in the middle, three fifths on average."""
    day = resolve_profile("diurnal", rate=1000, duration=96, spacing="constant")
    assert rate_in(day, 0, 1 / 96) == pytest.approx(200, rel=0.02)
    assert rate_in(day, 0.5, 0.5 + 1 / 96) == pytest.approx(1000, rel=0.02)
    assert rate_in(day, 0.25, 0.25 + 1 / 96) == pytest.approx(600, rel=0.05)
    assert rate_in(day, 0, 1) == pytest.approx(600, rel=0.01)


def test_a_ramp_grows_from_nothing() -> None:
    """Half the rate on average."""
    ramp = resolve_profile("ramp", rate=400, duration=10, spacing="constant")
    assert rate_in(ramp, 0, 0.1) < 40
    assert rate_in(ramp, 0.9, 1) > 360
    assert due(ramp).size == pytest.approx(2000, abs=1)


@pytest.mark.parametrize("rate", [0, -1, -0.0, math.nan, math.inf, -math.inf, 1e7 + 1, 1e300])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    """Zero, negative, not a number, absurd."""
    with pytest.raises(ProfileError, match=r"the rate is .* requests/s; it must be"):
        resolve_profile("perf", rate=rate)


@pytest.mark.parametrize("duration", [0, -5, math.nan, math.inf, 7 * 86_400 + 1, 1e300, 1e-9, 0.05])
def test_an_impossible_duration_is_refused(duration: float) -> None:
    """Zero, negative, not a number, longer than a week, too short to hold anything."""
    with pytest.raises(ProfileError, match=r"the duration is .* seconds; it must be"):
        resolve_profile("perf", duration=duration)


def test_a_profile_that_would_send_nothing_is_refused() -> None:
    """No verdict could follow."""
    with pytest.raises(ProfileError, match="is less than one request; raise the rate"):
        resolve_profile("smoke", rate=0.001, duration=10)
    resolve_profile("smoke", rate=0.1, duration=10)


def test_a_spike_beyond_what_can_be_is_refused() -> None:
    """The peak counts, not the base."""
    with pytest.raises(ProfileError, match=r"the peak rate is 1\.5e\+07"):
        resolve_profile("spike", rate=5e6)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_an_impossible_seed_is_refused(seed: int) -> None:
    """The engine takes 63 bits."""
    with pytest.raises(ProfileError, match="the seed is"):
        resolve_profile("perf", seed=seed)


@pytest.mark.parametrize(
    ("asked", "near"), [("pref", "perf"), ("SOAK", "soak"), ("spikes", "spike")]
)
def test_an_unknown_profile_suggests_the_nearest(asked: str, near: str) -> None:
    """And lists what there is."""
    with pytest.raises(ProfileError, match=f"did you mean {near}\\? known are smoke, perf"):
        resolve_profile(asked)


def test_the_closed_model_is_labelled_and_has_no_rate() -> None:
    """Users in a loop; its name says so wherever it is shown."""
    profile = resolve_profile("smoke", users=32, duration=4, seed=9)
    assert (profile.name, profile.model, profile.users) == (
        "smoke (closed, 32 users)",
        "closed",
        32,
    )
    assert (profile.seed, profile.phases()[-1]) == (9, ("hold", 5, 9))
    assert to_engine(model_of(Anyone), profile)["arrivals"] == {
        "kind": "closed",
        "users": 32,
        "duration_s": 9,
        "think_s": 0.0,
    }


def test_own_stages_go_in_straight_lines_from_zero_and_may_end_there() -> None:
    """Each to its rate in its time: half of the sum of both rates, times the time, arrives."""
    profile = resolve_profile("stages:4s:100,2s:100,4s:0", seed=3, spacing="constant")
    assert [(s.phase, s.duration_s, s.from_rate, s.to_rate) for s in profile.segments] == [
        ("hold", 4, 0, 100), ("hold", 2, 100, 100), ("hold", 4, 100, 0),
    ]  # fmt: skip
    assert (profile.seed, profile.spacing) == (3, "constant")
    counts = np.histogram(due(profile), bins=[0, 2, 4, 6, 8, 10])[0]
    assert counts.tolist() == pytest.approx([50, 150, 200, 150, 50], abs=1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "stage 1: '' is not a duration"),
        ("1m", "stage 1: '' is not a rate"),
        ("1m:100,1m:-5", "stage 2: '-5' is not a rate"),
        ("0s:100", "the duration of stage 1 is 0 s"),
        ("1m:100,9x:1", "stage 2: '9x' is not a duration"),
        ("1m:100,200h:1", "the duration of stage 2 is 720000 s"),
        ("1m:99999999", "the rate of stage 1 is"),
        ("1m:0,1m:0", "less than one request"),
        (",".join(["1s:1"] * 101), "101 stages"),
    ],
)
def test_stages_that_cannot_be_are_refused_by_number(text: str, problem: str) -> None:
    """The stage that is wrong, and how one is written."""
    with pytest.raises(ProfileError, match=re.escape(problem)):
        resolve_profile(f"stages:{text}")


def test_stages_say_rates_and_durations_themselves() -> None:
    """What was asked for besides is named."""
    with pytest.raises(ProfileError, match="leave out the rate and the duration"):
        resolve_profile("stages:1m:100", rate=3, duration=4)


@pytest.mark.parametrize("users", [0, -1, 1_000_001])
def test_an_impossible_number_of_users_is_refused(users: int) -> None:
    """At least one, at most a million."""
    with pytest.raises(ProfileError, match="the closed model takes 1 to 1,000,000"):
        resolve_profile("perf", users=users)


def test_users_and_a_rate_exclude_each_other() -> None:
    """A closed model cannot hold a rate: it would be a silent lie."""
    with pytest.raises(ProfileError, match="exclude each other"):
        resolve_profile("perf", users=3, rate=100)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(NAMED)),
    rate=st.none() | st.floats(),
    duration=st.none() | st.floats(),
    users=st.none() | st.integers(),
)
def test_whatever_is_asked_for_is_refused_in_a_line_or_accepted_by_the_engine(
    name: str, rate: float | None, duration: float | None, users: int | None
) -> None:
    """No profile fails once the lab is up."""
    try:
        profile = resolve_profile(name, rate=rate, duration=duration, users=users)
    except ProfileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
        return
    if profile.users:
        assert to_engine(model_of(Anyone), profile)["arrivals"]["users"] == users
    else:
        due(profile, limit=10)


def test_users_may_think_between_their_requests() -> None:
    """Only users can; the engine gets it."""
    profile = resolve_profile("constant", users=3, think_s=2.0)
    assert profile.think_s == 2.0
    with pytest.raises(ProfileError, match="--think-time is for --users"):
        resolve_profile("constant", think_s=2.0)
    with pytest.raises(ProfileError, match="the think time is -1 s"):
        resolve_profile("constant", users=3, think_s=-1.0)
