"""Replay: a trace's arrivals, to the nanosecond."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness._engine import schedule
from harness.errors import ProfileError
from harness.traffic import get, post, sequence
from harness.traffic.build import model_of, to_engine
from harness.traffic.profiles import resolve_profile
from harness.traffic.replay import _instant, fitted, replay


class Anyone:
    """Something to send."""

    service = "memorai"
    mix = [get("/")]  # noqa: RUF012 - as scenarios are written


def traced(tmp_path: Path, content: str, column: str = "") -> tuple[int, ...]:
    path = tmp_path / "trace.csv"
    path.write_text(content, encoding="utf-8")
    return resolve_profile(f"replay:{path}{column}").replay_ns


def test_instants_are_sorted_and_begin_at_the_start(tmp_path: Path) -> None:
    """Comments and empty lines are left out."""
    assert traced(tmp_path, "# a trace\n12.5\n\n10  # first\n11,\n") == (
        0,
        1_000_000_000,
        2_500_000_000,
    )


def test_nanoseconds_of_unix_time_survive(tmp_path: Path) -> None:
    """A float would lose them."""
    assert traced(tmp_path, "1795478400.000000001\n1795478400.000000002\n") == (0, 1)


def test_iso_instants_are_read_with_their_zone(tmp_path: Path) -> None:
    """Without one they are UTC."""
    content = "2026-11-24T02:00:00+02:00\n2026-11-24T00:00:01.5Z\n2026-11-24 00:00:02\n"
    assert traced(tmp_path, content) == (0, 1_500_000_000, 2_000_000_000)


def test_a_column_of_a_csv_is_found_by_its_name(tmp_path: Path) -> None:
    """Quotes and commas in the other columns do not matter."""
    content = 'path,at\n"/a,b",3\n/c,1.25\n'
    assert traced(tmp_path, content, ":at") == (0, 1_750_000_000)


def test_the_whole_replay_is_judged_and_reaches_the_engine(tmp_path: Path) -> None:
    """One hold phase long enough for the last arrival."""
    path = tmp_path / "trace"
    path.write_text("0\n0.5\n3\n")
    profile = replay(path, seed=5)
    assert (profile.seed, profile.phases()) == (5, (("hold", 0.0, 4.0),))
    plan = to_engine(model_of(Anyone), profile) | {"targets": ["http://h"]}
    assert schedule(json.dumps(plan), 10).tolist() == [0, 500_000_000, 3_000_000_000]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ": no timestamps; write seconds"),
        ("# none\n", ": no timestamps"),
        ("1\nsoon\n", ":2: 'soon' is no instant"),
        ("1\nnan\n", ":2: 'nan' is no instant"),
        ("inf\n", ":1: 'inf' is no instant"),
        ("1e400\n", ":1: '1e400' is no instant"),
        (",5\n", ":1: '' is no instant"),
        ("0\n700000\n", ": its instants span 700001 s"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    """Naming file and line."""
    with pytest.raises(ProfileError) as caught:
        traced(tmp_path, content)
    assert f"trace.csv{problem}" in str(caught.value)


def test_files_and_columns_that_are_not_there_are_told(tmp_path: Path) -> None:
    """With what is there instead."""
    with pytest.raises(ProfileError, match="No such file"):
        resolve_profile(f"replay:{tmp_path}/none")
    with pytest.raises(ProfileError, match="Is a directory"):
        resolve_profile(f"replay:{tmp_path}")
    with pytest.raises(ProfileError, match="no column 'when'; it has path, at"):
        traced(tmp_path, "path,at\n/,1\n", ":when")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="name a text file"):
        replay(tmp_path / "binary")


def test_a_replay_takes_no_rate_of_its_own(tmp_path: Path) -> None:
    """What would be ignored is refused."""
    path = tmp_path / "trace"
    path.write_text("1\n")
    for wish in ({"rate": 5.0}, {"duration": 5.0}, {"users": 5}):
        with pytest.raises(ProfileError, match="has its own instants"):
            resolve_profile(f"replay:{path}", **wish)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 10**14), min_size=1, max_size=30))
def test_every_gap_is_kept_to_the_nanosecond(tmp_path: Path, instants: list[int]) -> None:
    """Whatever the trace."""
    lines = "\n".join(f"{Decimal(instant).scaleb(-9):f}" for instant in instants)
    first = min(instants)
    assert traced(tmp_path, lines) == tuple(sorted(each - first for each in instants))


INSTANTS = [
    ("1767225600", "0"),
    ("1767225600123", "0.123"),
    ("1767225600123456", "0.123456"),
    ("1767225600123456789", "0.123456789"),
    ("1767225600.25", "0.25"),
    ("2026-01-01T00:00:00.123456789Z", "0.123456789"),
    ("2026-01-01T00:00:00,5z", "0.5"),
    ("20260101T000001Z", "1"),
    ("2026-01-01 01:00:02+01:00", "2"),
    ("2026-01-01T00:30-0030", "3600"),
    ("2026-01-01T05.5+05", "1800"),
    ("2026-001T00:00:03", "3"),
    ("2026-W01-4", "0"),
    ("2025-12-31T24:00:00Z", "0"),
    ("2025-12-31T23:59:60Z", "0"),
    ("2026-01-02", "86400"),
]


@pytest.mark.parametrize(("text", "seconds"), INSTANTS)
def test_any_instant_of_iso_8601_and_epochs_by_their_size_are_read(text: str, seconds: str) -> None:
    """Counted from 2026 here, exact to the nanosecond."""
    assert _instant(text) == (Decimal(1767225600) + Decimal(seconds)) * 10**9


@pytest.mark.parametrize(
    "text",
    ["2026-13-01", "2026-366T00:00", "2026-01-01T25:00", "2026-01-01T24:01", "2026-01-01T00:60",
     "2026-01-01T00:00+24", "2026-W54-1", "1e30", "-1e25", "nan", "T00:00"],
)  # fmt: skip
def test_what_is_no_instant_is_none(text: str) -> None:
    """Neither a number that could be one nor a day that is not there."""
    assert _instant(text) is None


def test_lines_without_an_instant_are_dropped_and_counted(tmp_path: Path) -> None:
    """Up to a tenth of them; beyond it the file is refused."""
    path = tmp_path / "trace.csv"
    good = "".join(f"{n}\n" for n in range(18))
    path.write_text(f"{good}soon\nlater\n")
    profile = replay(path)
    assert len(profile.replay_ns) == 18
    assert profile.dropped == ("2 of 20 lines (line 19: 'soon' is no instant)",)
    path.write_text(f"{good}soon\nlater\nnever\n")
    with pytest.raises(ProfileError, match=":19: 'soon' is no instant"):
        replay(path)


def test_a_hash_in_another_column_cuts_nothing(tmp_path: Path) -> None:
    """Only a line that begins with one, and what follows it in the instant's column."""
    content = "at,url\n1,/a#b\n#2,/c\n3 # late,/d\n"
    assert traced(tmp_path, content, ":at") == (0, 2_000_000_000)


TRACE = """time,endpoint,users_id,note
5,GET /users/{users_id},7,
4.5,GET /users/{users_id},"8,9",x
4.75,POST /users,,
5.5,GET /gone,,
6,GET /users/{users_id},1
"""


class Shop:
    """What the trace was imported with."""

    service = "memorai"
    feeds = {"users_id": sequence()}  # noqa: RUF012 - as scenarios are written
    mix = [post("/users"), get("/users/{users_id}"), get("/other")]  # noqa: RUF012


def test_a_trace_says_what_each_arrival_sends(tmp_path: Path) -> None:
    """Endpoint and values, in the order of the instants; others are dropped and counted."""
    path = tmp_path / "trace.csv"
    path.write_text(TRACE.replace("6,GET /users/{users_id},1\n", ""))
    profile, model = replay(path), model_of(Shop)
    plan = to_engine(model, profile)
    assert plan["arrivals"] == {
        "kind": "replay", "due_ns": [0, 250_000_000, 500_000_000], "requests": [1, 0, 1],
    }  # fmt: skip
    assert plan["feeds"]["users_id"] == {"kind": "cycle", "values": ["8,9", "", "7"]}
    assert "note" not in plan["feeds"]
    assert len(schedule(json.dumps(plan | {"targets": ["http://h"]}), 10)) == 3
    assert fitted(profile, model).dropped == (
        "1 arrival at endpoints of no request (first: 'GET /gone')",
    )
    assert fitted(fitted(profile, model), model) == fitted(profile, model)
    assert replay(f"{path}:time").replay_endpoints == ()


def test_a_trace_of_another_scenario_and_a_half_line_are_refused(tmp_path: Path) -> None:
    """Nothing would be left of the first; of the second more than a tenth is wrong."""
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    with pytest.raises(ProfileError, match=":6: 3 values, the header has 4"):
        replay(path)
    path.write_text("time,endpoint\n1,GET /else\n")
    with pytest.raises(ProfileError, match="no endpoint of it is in the scenario"):
        to_engine(model_of(Shop), replay(path))
