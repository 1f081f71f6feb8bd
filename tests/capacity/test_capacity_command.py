"""What `harness capacity` takes, shows and writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.capacity.compare import EarlierCapacity, compare_capacity, read_capacity
from harness.cli import run
from harness.cli.capacity import _search
from harness.errors import UsageError
from harness.report.capacity_plot import capacity_chart, write_plot
from tests.capacity.test_capacity_search import _below, _find


def test_the_usual_budget_grows_with_the_confirmation() -> None:
    def budget(**words: float | None) -> float:
        usual = {"start": 500.0, "max_rate": None, "hold_s": 10.0, "confirm_s": 40.0,
                 "tolerance": 0.1, "budget_s": None}  # fmt: skip
        return _search(usual | words).budget_s

    assert budget() == 900.0
    assert budget(confirm_s=300.0) == 900.0 + 3 * 260
    assert budget(confirm_s=300.0, budget_s=600.0) == 600.0


def test_the_steps_are_in_the_json_and_the_picture(tmp_path: Path) -> None:
    found, _ = _find(_below(700))
    stored = json.loads(json.dumps(found.as_dict()))
    assert stored["answered"] is True
    assert {"rate", "outcome", "shares", "p95", "concurrency"} <= stored["steps"][0].keys()
    chart = capacity_chart(found, 0.1)
    assert "var(--" not in chart
    write_plot(found, 0.1, tmp_path / "capacity.html")
    assert "<svg" in (tmp_path / "capacity.html").read_text()
    with pytest.raises(UsageError, match=r"svg or \.html"):
        write_plot(found, 0.1, tmp_path / "capacity.png")


def test_brackets_that_overlap_show_no_regression_and_distant_ones_do(tmp_path: Path) -> None:
    found, _ = _find(_below(700))
    path = tmp_path / "before.json"
    path.write_text(json.dumps(found.as_dict()))
    same = compare_capacity(found, [read_capacity(path, "memorai")])
    assert same is not None
    assert same.verdict == "no-change"
    before = [EarlierCapacity("a", 1_400, 1_500)]
    worse = compare_capacity(found, before)
    assert worse is not None
    assert worse.verdict == "regression"
    assert worse.high is not None
    assert worse.high < -0.3


def test_the_legend_names_an_outcome_that_has_no_p95() -> None:
    found, _ = _find(_below(700))
    steps = tuple(replace(s, p95=None) if s.outcome == "missed" else s for s in found.steps)
    assert "missed" in capacity_chart(replace(found, steps=steps), 0.1)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--rate 50", "--rate"),
        ("--hold 5s", "--hold is 5 s"),
        ("--tolerance 0.1%", "--tolerance"),
        ("--start 2k --max-rate 1k", "--max-rate"),
        ("--per-replica 1,x", "not numbers"),
        ("--per-replica 1 --replicas 2", "exclude"),
        ("--per-replica 1 --target http://127.0.0.1:1", "for the lab"),
        ("--compare /nowhere.json", "/nowhere.json"),
        ("--hold 1h", "does not fit into --time-budget"),
        ("--time-budget 0s", "does not fit into --time-budget"),
        ("--confirm 5s", "--confirm is 5 s"),
        ("--confirm 1h --time-budget 30m", "--confirm 3600 s does not fit into --time-budget"),
        ("--plot x.png", r"svg or .html"),
        ("--plot /nowhere/x.svg", "cannot be written"),
        ("--per-replica 1,2 --plot x.svg", "--plot shows one search"),
    ],
)
def test_what_makes_no_search_is_refused(
    words: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["capacity", "memorai", *words.split()]) == 2
    assert problem in capsys.readouterr().err


def test_the_old_name_of_the_highest_rate_is_taken_with_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["capacity", "memorai", "--most", "100"]) == 2  # the start is higher
    assert "--most is deprecated" in capsys.readouterr().err
