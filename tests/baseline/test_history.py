"""The series of runs and the run where each change of level began."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.baseline import TOTAL, AcceptedRun, Baseline, BaselineStore, Conditions
from harness.baseline.history import History, histories, history
from harness.baseline.levels import accepted_series, level_warnings, standing, standing_now
from harness.baseline.model import Acceptance
from harness.cli.baseline import group as baseline_command
from harness.cli.history import command
from harness.errors import BaselineError, RecordError, UsageError
from tests.gate.made_runs import runs
from tests.record.synthetic import Made, record
from tests.sequential import exceeds

CONDITIONS = Conditions("lab", "service", "4 x CPU, 16 GiB", "replicas 3", "gate 0", "memorai 0")


def series(*parts: list[AcceptedRun]) -> list[AcceptedRun]:
    """The parts one after the other, ids and commits by place."""
    return [
        replace(run, id=f"run-{at:03}", created=f"2026-11-24T{at:06}", commit=f"{at:040x}")
        for at, run in enumerate(run for part in parts for run in part)
    ]


def of(made: list[AcceptedRun]) -> History:
    return history("memorai", "memorai", "p95", CONDITIONS, made)


@pytest.fixture
def without_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else that the command does."""
    monkeypatch.setattr("harness.report.history_plot.write_plot", lambda *_: None)


def test_a_step_is_dated_to_its_run_and_commit() -> None:
    found = of(series(runs(20), runs(15, seed=2, slow={"recall": 1.2, TOTAL: 1.0})))
    change = next(c for c in found.changes if (c.endpoint, c.metric) == ("recall", "p95"))
    assert change.run == "run-020"
    assert change.commit == f"{20:040x}"
    assert change.previous_run == "run-019"
    assert change.low < 0.2 < change.high
    assert not any(c.endpoint == "remember" for c in found.changes)


def test_an_unchanged_series_seldom_shows_a_change_in_any_of_its_metrics() -> None:
    alarms = (bool(of(series(runs(30, sd=0.02, seed=seed))).changes) for seed in range(1000))
    assert not exceeds(alarms, 0.05, 0.20, miss=0.2)


def test_recorded_runs_stand_in_the_series_without_being_accepted() -> None:
    made = series(runs(8))
    found = history("memorai", "memorai", "p95", CONDITIONS, made[:5], made[3:])
    assert [run.id for run in found.runs] == [run.id for run in made]
    assert found.accepted == {run.id for run in made[:5]}


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_short_series_has_no_change(count: int) -> None:
    assert of(series(runs(count))).changes == ()


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_plot_is_written_in_the_format_of_its_name(tmp_path: Path, suffix: str) -> None:
    from harness.report.history_plot import write_plot  # noqa: PLC0415 - matplotlib is slow

    path = tmp_path / "new" / f"trend.{suffix}"
    write_plot(of(series(runs(10), runs(10, seed=2, slow={TOTAL: 1.3}))), path)
    head = path.read_bytes()[:200]
    assert (b"<?xml" in head) if suffix == "svg" else head.startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="no plot format"):
        write_plot(of([]), tmp_path / "trend.exe")
    with pytest.raises(RecordError, match="cannot write here"):
        write_plot(of([]), path / "trend.svg")


def test_the_command_lists_changes_and_a_cut_begins_the_baseline_there(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made = series(runs(12), runs(12, seed=2, slow={TOTAL: 1.3}))
    BaselineStore(tmp_path).save(Baseline("memorai", "memorai", CONDITIONS, tuple(made)))
    words = ["memorai", "--baselines", str(tmp_path), "--results", str(tmp_path / "results")]
    said = CliRunner().invoke(command, words, catch_exceptions=False, standalone_mode=False)
    assert "baseline cut memorai run-012" in " ".join(said.output.split())
    assert (tmp_path / "results" / "memorai" / "history.svg").is_file()
    request.getfixturevalue("without_plot")
    (found,) = json.loads(CliRunner().invoke(command, [*words, "--json"]).output)
    assert found["changes"][0]["run"] == "run-012"
    assert len(found["runs"]) == 24
    cut = ["cut", "memorai", "run-012", "--reason", "new disk", "--baselines", str(tmp_path)]
    assert "12 accepted runs left" in CliRunner().invoke(baseline_command, cut).output
    (left,) = BaselineStore(tmp_path).all("memorai")
    assert left.runs[0].id == "run-012"
    assert left.notes[0]["reason"] == "new disk"


@pytest.mark.usefixtures("without_plot")
def test_valid_recorded_runs_are_read_and_others_passed_over(tmp_path: Path) -> None:
    results = tmp_path / "results"
    good = record(results)
    record(results, Made(lag_s=0.05))
    (results / "memorai" / "broken").mkdir()
    (results / "memorai" / "broken" / "run.json").write_text("{")
    words = ["memorai", "--baselines", str(tmp_path / "none"), "--results", str(results), "--json"]
    (found,) = json.loads(CliRunner().invoke(command, words, catch_exceptions=False).output)
    assert [run["run"] for run in found["runs"]] == [good.id]
    assert found["runs"][0]["accepted"] is False


def test_a_service_without_any_run_is_told_how_to_make_one(tmp_path: Path) -> None:
    words = ["memorai", "--baselines", str(tmp_path), "--results", str(tmp_path)]
    with pytest.raises(BaselineError, match="harness baseline make memorai"):
        CliRunner().invoke(command, words, catch_exceptions=False)


def drifting(by: float, count: int = 30) -> list[AcceptedRun]:
    """Each run slower than the last by this share."""
    parts = [runs(1, seed=at, slow={TOTAL: (1 + by) ** at}) for at in range(count)]
    days = [f"2026-03-{1 + at:02}T00:00:00+00:00" for at in range(count)]
    return [replace(run, created=day) for run, day in zip(series(*parts), days, strict=True)]


def test_a_drift_is_reported_with_its_slope_interval_and_what_it_adds_up_to() -> None:
    found = of(drifting(0.02))
    (trend,) = [t for t in found.trends if (t.endpoint, t.metric) == (TOTAL, "p95")]
    assert trend.low < 0.02 < trend.high
    assert trend.high - trend.low < 0.004
    assert trend.total == pytest.approx(1.02**29 - 1, rel=0.05)
    assert (trend.run, trend.runs, trend.since) == ("run-000", 30, "2026-03-01")
    assert not found.changes


def test_a_change_that_a_drift_explains_as_well_is_suspected_everywhere(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made = drifting(0.005, 16)
    found = of(made)
    assert (TOTAL, "p95") in {(each.endpoint, each.metric) for each in found.suspected}
    assert (TOTAL, "p95") not in {(each.endpoint, each.metric) for each in found.changes}
    BaselineStore(tmp_path).save(Baseline("memorai", "memorai", CONDITIONS, tuple(made)))
    words = ["memorai", "--baselines", str(tmp_path), "--results", str(tmp_path / "results")]
    said = CliRunner().invoke(command, words, catch_exceptions=False, standalone_mode=False)
    assert "suspected: a drift" in said.output
    assert "suspected" in (tmp_path / "results" / "memorai" / "history.svg").read_text()
    request.getfixturevalue("without_plot")
    (document,) = json.loads(CliRunner().invoke(command, [*words, "--json"]).output)
    assert document["suspected"][0]["run"] == found.suspected[0].run


def test_an_unchanged_series_seldom_drifts() -> None:
    alarms = (bool(of(series(runs(30, sd=0.02, seed=seed))).trends) for seed in range(1000))
    assert not exceeds(alarms, 0.05, 0.20, miss=0.2)


def test_after_a_step_a_drift_is_sought_in_the_new_level_alone() -> None:
    assert of(series(runs(15), runs(15, seed=2, slow={TOTAL: 1.5}))).trends == ()


def test_the_latest_level_is_compared_with_the_oldest_and_the_best_even_after_a_cut(
    tmp_path: Path,
) -> None:
    store = BaselineStore(tmp_path)
    made = drifting(0.02)
    store.save(Baseline("memorai", "memorai", CONDITIONS, tuple(made)))
    cut = store.cut("memorai", "run-020", "meant")
    (oldest,) = standing_now(cut, "p95")
    assert oldest.name == "oldest and best"
    assert oldest.level.since == "2026-03-01"
    assert oldest.low < 1.02**25 - 1 < oldest.high
    dropped = store.drop("memorai", "run-021", "noisy")
    assert [at for at, _ in accepted_series(dropped, "p95")] == [
        run.created for run in made if run.id != "run-021"
    ]


def test_candidates_within_the_margin_of_the_last_level_stand_far_above_the_oldest() -> None:
    made = drifting(0.02, 20)
    candidates = [replace(run, id=f"new-{run.id}") for run in drifting(0.02, 23)[20:]]
    baseline = Baseline("memorai", "memorai", CONDITIONS, tuple(made))
    (gap,) = standing(baseline, candidates, "p95")
    assert gap.beyond_chance
    assert gap.shift == pytest.approx(1.02**19 - 1, rel=0.05)
    assert "against the oldest and best accepted level, 5 runs of 2026-03-01" in gap.sentence("p95")


def test_a_gate_mentions_what_small_steps_add_up_to_and_nothing_else() -> None:
    made = drifting(0.02, 20)
    candidates = [replace(run, id=f"new-{run.id}") for run in drifting(0.02, 23)[20:]]
    baseline = Baseline("memorai", "memorai", CONDITIONS, tuple(made))
    level, slope = level_warnings(baseline, candidates, "p95", 0.05)
    assert "against the oldest and best accepted level" in level
    assert "drifts by +2.0% a run" in slope
    assert level_warnings(baseline, candidates, "p95", 1.0) == ()
    steady = Baseline("memorai", "memorai", CONDITIONS, tuple(series(runs(20))))
    assert level_warnings(steady, runs(3, seed=9, name="new"), "p95", 0.05) == ()
    faster = runs(3, seed=9, name="new", slow={TOTAL: 0.5})
    assert level_warnings(steady, faster, "p95", 0.05) == ()


def test_the_best_of_many_equal_levels_is_seldom_taken_for_a_better_one() -> None:
    alarms = 0
    for seed in range(60):
        baseline = Baseline("memorai", "memorai", CONDITIONS, tuple(runs(40, sd=0.03, seed=seed)))
        now = runs(5, sd=0.03, seed=1000 + seed, name="new")
        alarms += any(gap.beyond_chance for gap in standing(baseline, now, "p95"))
    assert alarms <= 9  # of the two comparisons together at most 10 %: ten or more below 0.5 %


@pytest.mark.usefixtures("without_plot")
def test_the_command_shows_commits_changes_who_accepted_and_the_drift(tmp_path: Path) -> None:
    made = [
        replace(
            run,
            commit=f"{'b' * 40}-dirty",
            service_commit="v9",
            outcome="pass",
            acceptance=Acceptance("Ann [red]Other", "2026-03-02T00:00:00+00:00"),
        )
        for run in drifting(0.02)
    ]
    BaselineStore(tmp_path).save(Baseline("memorai", "memorai", CONDITIONS, tuple(made)))
    (tmp_path / "memorai" / "bad.json").write_text("{")
    words = ["memorai", "--baselines", str(tmp_path), "--results", str(tmp_path / "results")]
    said = CliRunner().invoke(command, words, catch_exceptions=False, standalone_mode=False)
    text = " ".join(said.output.split())
    for part in (
        "bbbbbbbbbb-dirty v9",
        "2026-03-02 by Ann [red]Other",
        "p95 of all: drifts by +2.0% a run",
        "against the oldest and best accepted level",
        "bad.json: not a baseline file",
    ):
        assert part in text, text


def test_runs_of_a_file_that_kept_fewer_conditions_are_in_the_same_series(tmp_path: Path) -> None:
    made = series(runs(12))
    newer = replace(CONDITIONS, kernel="Linux 6")
    groups = (
        Baseline("memorai", "memorai", CONDITIONS, tuple(made[:6])),
        Baseline("memorai", "memorai", newer, tuple(made[6:])),
    )
    (found,) = histories("memorai", "p95", groups, tmp_path, 10)
    assert len(found.runs) == 12
    assert found.conditions == newer
