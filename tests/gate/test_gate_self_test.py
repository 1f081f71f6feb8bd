"""The gate's own test: rates with intervals that rest on independent gates, and a page."""

from __future__ import annotations

import functools
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from harness.catalog import load_catalog
from harness.cli.gate import _slowed
from harness.errors import UsageError
from harness.gate import Policy, compare_runs
from harness.gate.selftest import CANDIDATES, SelfTest, _rate, false_alarms, power, self_test
from harness.report.gate import write_gate
from harness.report.gate_plot import render_plot
from harness.report.selftest import print_self_test, write_self_test
from harness.session.options import RunOptions
from harness.traffic.model import Journey, Request, TrafficModel
from tests.gate.made_runs import runs


@functools.cache
def found() -> SelfTest:
    policy = Policy()
    pool = runs(12, seed=1)
    with mock.patch("harness.gate.selftest.SPLITS", 40):  # more of twelve runs say no more
        alarms = false_alarms(pool, "memorai", policy)
    rates = (
        alarms,
        power(pool, runs(CANDIDATES, seed=2, slow={"recall": 1.3}), 0.3, "memorai", policy),
    )
    return SelfTest("memorai", "recall", policy, 9, CANDIDATES, rates)


def test_unchanged_runs_hardly_alarm_and_slowed_ones_do() -> None:
    alarms, seen = found().rates
    assert alarms.failed / alarms.gates < 0.05
    assert seen.failed + seen.suspected == seen.gates == 1


def test_splits_of_one_pool_are_not_counted_as_independent() -> None:
    """However many there are, splits of twelve runs know as much as four gates do."""
    alarms = found().rates[0]
    assert alarms.trials == 12 // CANDIDATES
    assert found().as_dict()["schema"] == 1
    assert (alarms.fail_rate.high or 0) > 0.3


def test_the_page_states_both_with_their_intervals(tmp_path: Path) -> None:
    write_self_test(found(), tmp_path)
    page = (tmp_path / "self-test.md").read_text()
    assert "none (A/A)" in page
    assert "30% on recall" in page
    assert json.loads((tmp_path / "self-test.json").read_text())["rates"][0]["trials"] == 4
    stream = io.StringIO()
    print_self_test(found(), stream)
    assert "A/A" in stream.getvalue()


def test_a_self_test_makes_unchanged_runs_and_three_of_each_slowdown() -> None:
    made: list[tuple[int, object]] = []
    pool = [*runs(8), *runs(3, seed=2, slow={"recall": 1.5})]

    def make_run(options: RunOptions, seed: int, say: object) -> None:
        made.append((seed, options.behaviour.get("slow")))

    with (
        mock.patch("harness.gate.selftest.SPLITS", 2),
        mock.patch("harness.gate.selftest.make_run", make_run),
        mock.patch("harness.gate.selftest.measure", side_effect=pool),
    ):
        found = self_test(RunOptions("memorai"), "recall", ["/x"], 8, Policy(), print, (0.5,))
    slow = {"/x": {"factor": 1.5}}
    assert made == [(seed, None if seed <= 8 else slow) for seed in range(1, 12)]
    assert [(rate.slowdown, rate.gates) for rate in found.rates] == [(0.0, 2), (0.5, 1)]
    assert (found.baseline_runs, found.candidates) == (5, 3)


@pytest.mark.parametrize(("outcome", "counted"), [("suspected", 1), ("inconclusive", 0)])
def test_an_alarm_is_a_row_that_gates_and_is_suspected(outcome: str, counted: int) -> None:
    def gate(*, gating: bool) -> Any:
        rows = [SimpleNamespace(gating=gating, outcome=outcome)]
        return SimpleNamespace(outcome="inconclusive", rows=rows)

    found = _rate(0.0, [gate(gating=True), gate(gating=False)], 2)
    assert (found.failed, found.suspected) == (0, counted)


def test_a_self_test_of_too_few_runs_is_refused() -> None:
    with pytest.raises(UsageError, match="give --runs 8 or more"):
        self_test(RunOptions("memorai"), "recall", "/x", 3, Policy(), print)


def test_the_plot_shows_both_sides_and_the_shift_function(tmp_path: Path) -> None:
    sides = [runs(4, seed=seed, histograms=True) for seed in (1, 2)]
    verdict = compare_runs("memorai", "memorai", sides[0], sides[1])
    text = render_plot(verdict)
    assert text is not None
    assert text.rstrip().endswith("</svg>")
    write_gate(verdict, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "gate.json",
        "gate.md",
        "gate.svg",
        "gate.xml",
    }


def test_without_histograms_there_is_no_plot() -> None:
    sides = [runs(3, seed=seed) for seed in (1, 2)]
    verdict = compare_runs("memorai", "memorai", sides[0], sides[1])
    assert render_plot(replace(verdict, before=verdict.before)) is None


def test_a_scenario_of_journeys_only_slows_every_route() -> None:
    """Only its Python knows which it asks; of a mix the heaviest request is slowed."""
    service = load_catalog().service("memorai")
    journeys = TrafficModel("memorai", "x", "x.py", (), (Journey("walk", "walk"),))
    endpoint, paths = _slowed(service, journeys)
    assert endpoint == "every route"
    assert len(paths) == len(set(paths)) >= 1
    assert all(path.startswith("/") and "{" not in path for path in paths)
    mix = replace(
        journeys,
        requests=(Request("a", "GET", "/a", 1.0), Request("b", "GET", "/b/{id}?x={id}", 2.0)),
    )
    assert _slowed(service, mix) == ("b", ("/b",))
