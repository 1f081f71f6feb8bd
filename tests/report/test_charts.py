"""The drawing of the reports' charts."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from harness.report import svg
from harness.report.svg import LEFT, ONE, Axis, Panel, draw, latency, linear

SECONDS = Axis(0, 10, [(0, "0"), (10, "10")])


def paths(panel: Panel) -> list[str]:
    """What the coloured lines of a panel are drawn with."""
    root = ET.fromstring(draw([panel], "seconds"))  # noqa: S314 - our own
    return [each.get("d", "") for each in root.iter() if each.get("stroke") == ONE]


def labels(make: svg.MakeAxis, low: float, high: float, most: int = 8) -> list[str]:
    return [text for _, text in make(low, high, most).labels]


def test_a_line_ends_where_a_value_is_missing_and_a_lone_value_is_a_dot() -> None:
    panel = Panel(SECONDS, 100)
    panel.line([1, 2, 3, 4, 5, 6], [1, 2, np.nan, 3, np.nan, 0], ONE)
    (path,) = paths(panel)
    assert [part.count("L") for part in path.split("M")[1:]] == [1, 0, 0]
    assert path.count("h0") == 3


def test_a_line_is_drawn_where_its_values_are() -> None:
    panel = Panel(SECONDS, 100)
    panel.line([0, 5, 10], [0, 50, 100], ONE)
    (path,) = paths(panel)
    points = [tuple(map(float, each)) for each in re.findall(r"([\d.]+) ([\d.]+)", path)]
    assert points == [(0, 100), (svg.PLOT / 2, 52.4), (svg.PLOT, 4.8)]  # 5 % of room above


def test_a_value_may_be_held_around_its_second_or_before_it() -> None:
    for held, corners in (("around", 6), ("before", 5)):
        panel = Panel(SECONDS, 100)
        panel.line([1, 2, 3], [1, 5, 2], ONE, held=held)  # type: ignore[arg-type]
        assert len(re.findall("[ML]", paths(panel)[0])) == corners


def test_what_lies_beyond_the_axis_of_time_is_neither_drawn_nor_scaled_for() -> None:
    inside, beyond = Panel(SECONDS, 100), Panel(SECONDS, 100)
    inside.line([1, 2], [1, 2], ONE)
    beyond.line([1, 2, 11], [1, 2, 99], ONE)
    assert paths(inside) == paths(beyond)


def test_points_that_fall_together_are_drawn_once() -> None:
    panel = Panel(SECONDS, 100)
    panel.line(np.linspace(0, 10, 100_000), np.ones(100_000), ONE)
    assert len(paths(panel)[0]) < 100_000


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0, 10_200, ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]),
    ],
)
def test_counts_have_round_labels_from_zero(low: float, high: float, expected: list[str]) -> None:
    assert labels(linear(), low, high, 7) == expected


def test_what_is_counted_has_no_labels_between_integers() -> None:
    assert labels(linear(integers=True), 0, 2) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0012, 0.0019, ["1 ms", "2 ms", "5 ms"]),
        (0.001, 0.001, ["500 us", "1 ms", "2 ms"]),
        (0.0005, 0.02, ["500 us", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms"]),
        (1e-5, 10, ["10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s"]),
    ],
)
def test_latencies_have_at_least_two_labels_and_no_more_than_there_is_room_for(
    low: float, high: float, expected: list[str]
) -> None:
    assert labels(latency, low, high) == expected


def test_a_latency_of_zero_is_drawn_at_the_bottom() -> None:
    panel = Panel(SECONDS, 100, y=latency)
    panel.line([1, 2], [0, 0.001], ONE)
    assert " 100h0" in paths(panel)[0]


def test_a_hundred_years_of_latency_have_no_more_labels_than_there_is_room_for() -> None:
    assert 2 <= len(labels(latency, 1e-9, 3e9, 6)) <= 6


def test_the_labels_are_within_the_chart_up_to_a_hundred_thousand_requests_a_second() -> None:
    panel = Panel(SECONDS, 100, "requests/s")
    panel.line([0, 10], [0, 100_000], ONE)
    longest = max(labels(linear(), 0, 100_000), key=len)
    assert longest == "100,000"
    beside = 52 - 5  # from the label of the axis to its labels
    assert len(longest) * 6.0 < beside < LEFT


def test_the_names_of_a_legend_are_escaped_cut_and_in_rows_that_are_not_too_long() -> None:
    panel = Panel(SECONDS, 100)
    for number in range(4):
        panel.line([1], [1], ONE, f"{number} <b>" + 90 * "x")
    drawn = draw([panel], "seconds")
    assert "<b>" not in drawn
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    rows = [each for each in root.iter() if each.tag.endswith("}text") and len(each)]
    assert len(rows) == 4
    assert all(len("".join(row.itertext())) < svg.LONGEST_ROW for row in rows)
