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
from harness.traffic import get, model_of, replay, resolve_profile, to_engine


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
