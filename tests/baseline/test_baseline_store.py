"""What may become a baseline, what is kept of it, and what is refused with which reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.baseline import TOTAL, Baseline, BaselineStore, measure
from harness.baseline.measure import conditions, conditions_of
from harness.baseline.model import MACHINE, SCHEMA
from harness.errors import BaselineError, NoBaseline, RecordError
from harness.record import RunRecord
from harness.traffic.model import Journey
from tests.record.synthetic import Made, plan, record


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    root = tmp_path_factory.mktemp("results")
    return [record(root, Made(seed=seed)) for seed in (1, 2, 3)]


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    return BaselineStore(tmp_path / "baselines")


def test_accepted_runs_come_back_as_they_were_measured(
    store: BaselineStore, made: list[RunRecord]
) -> None:
    store.accept(made, label="v1")
    (found,) = store.load("memorai", "memorai")
    assert sorted(run.id for run in found.runs) == sorted(one.id for one in made)
    kept = next(run for run in found.runs if run.id == made[0].id)
    assert kept == replace(measure(made[0]), label="v1", outcome="pass")
    p95, low, high = kept.endpoints[TOTAL].quantiles["p95"]
    assert p95 == pytest.approx(made[0].distribution("response").quantile(0.95), rel=0.01)
    assert low is not None
    assert high is not None
    assert low < p95 < high
    assert kept.throughput == pytest.approx(200, rel=0.02)


def test_the_file_is_sorted_and_the_same_for_the_same_runs(
    store: BaselineStore, made: list[RunRecord]
) -> None:
    store.accept(made)
    path = store.path("memorai", "memorai")
    first = path.read_text()
    assert json.loads(first)["schema"] == SCHEMA
    path.unlink()
    for one in reversed(made):
        store.accept([one])
    assert path.read_text() == first


def test_a_file_where_the_directory_belongs_is_one_line(
    store: BaselineStore, made: list[RunRecord]
) -> None:
    store.root.write_text("a file")
    with pytest.raises(RecordError, match="cannot write here"):
        store.accept(made[:1])


def test_a_run_is_accepted_once(store: BaselineStore, made: list[RunRecord]) -> None:
    store.accept(made[:1])
    with pytest.raises(BaselineError, match="in the baseline already"):
        store.accept(made[:1])
    with pytest.raises(BaselineError, match="in the baseline already"):
        store.accept([made[1], made[1]])
    assert len(store.load("memorai", "memorai")[0].runs) == 1


def test_an_invalid_run_is_refused_with_its_reason(store: BaselineStore, tmp_path: Path) -> None:
    late = record(tmp_path, Made(lag_s=0.05))
    with pytest.raises(BaselineError, match=r"is invalid: .*generator"):
        store.accept([late])
    assert store.all() == ()


def test_a_run_that_was_cut_short_is_refused(store: BaselineStore, tmp_path: Path) -> None:
    dead = record(tmp_path, Made(end=None, stop_at=20))
    with pytest.raises(BaselineError, match="is failed; only a complete run"):
        store.accept([dead])


@pytest.mark.parametrize(
    ("field", "value"),
    [("cpu_model", "Other CPU"), ("cores", 64), ("memory_bytes", 2**40), ("platform", "lab")],
)
def test_a_run_of_another_machine_is_refused_and_told_what_differs(
    store: BaselineStore, made: list[RunRecord], field: str, value: object
) -> None:
    store.accept(made[:1])
    environment = made[1].environment | {field: value}
    other = replace(made[1], meta=made[1].meta | {"environment": environment})
    with pytest.raises(BaselineError, match=r"(machine|platform): .* here, .* there") as refused:
        store.accept([other])
    assert str(store.path("memorai", "memorai")) in str(refused.value)
    store.accept([other], new=True)
    assert len(store.load("memorai", "memorai")) == 2
    assert store.matching(other).runs[0].id == other.id
    assert store.matching(made[0]).runs[0].id == made[0].id


def test_a_run_of_another_profile_is_refused(
    store: BaselineStore, made: list[RunRecord], tmp_path: Path
) -> None:
    store.accept(made[:1])
    other = record(tmp_path, Made(plan=plan(rate=300.0)))
    with pytest.raises(BaselineError, match=r"profile: perf.*same profile with another rate"):
        store.matching(other)
    with pytest.raises(BaselineError, match="other conditions than the runs before it: profile"):
        store.accept([made[1], other])


def test_seed_and_behaviour_are_no_conditions(made: list[RunRecord]) -> None:
    one = made[0]
    slow = {"behaviour": {"latency_median_s": 1.0}, "replicas": 3}
    quick = {"behaviour": {"latency_median_s": 0.0}, "replicas": 3}
    targets = [replace(one.plan.target, environment=each) for each in (slow, quick)]
    plans = [
        replace(one.plan, target=target, profile=replace(one.plan.profile, seed=seed))
        for seed, target in enumerate(targets)
    ]
    first, second = (conditions_of(replace(one, plan=each)) for each in plans)
    assert first == second
    fewer = replace(plans[0], target=replace(targets[0], environment={"replicas": 2}))
    assert "deployment" in first.differences(conditions_of(replace(one, plan=fewer)))[0]


def test_conditions_are_the_same_before_a_run_and_in_its_record(made: list[RunRecord]) -> None:
    """The record holds the traffic without its secrets."""
    assert conditions(plan(), made[0].environment) == conditions_of(made[0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n", "it is empty"),
        ("[1, 2]", "not a baseline file"),
        ("{}", "not a baseline file"),
        ("null", "it holds no JSON object"),
        ('{"schema": 99, "baselines": []}', "schema 99, this harness knows 1"),
        ('{"schema": "1", "baselines": []}', "schema '1', this harness knows 1"),
        ('{"schema": 1, "baselines": [{"service": "memorai"}]}', "0.scenario"),
        ('{"schema": 1, "baselines": 7}', "tuple"),
    ],
)
def test_a_damaged_or_newer_file_is_named(store: BaselineStore, text: str, reason: str) -> None:
    path = store.path("memorai", "memorai")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(BaselineError, match=reason) as refused:
        store.load("memorai", "memorai")
    assert str(path) in str(refused.value)


def test_without_a_baseline_the_remedy_is_named(
    store: BaselineStore, made: list[RunRecord]
) -> None:
    with pytest.raises(BaselineError, match=r"no baseline yet; make one: harness baseline make"):
        store.matching(made[0])


def test_dropping_and_pruning_leave_a_note_with_the_reason(
    store: BaselineStore, made: list[RunRecord]
) -> None:
    group = store.accept(made)
    oldest = group.runs[0].id
    left = store.drop("memorai", oldest, "a backup ran")
    assert oldest not in [run.id for run in left.runs]
    assert left.notes[0] == {"reason": "a backup ran", "run": oldest, "had": 3, "left": 2}
    left = store.prune(left, 1)
    assert [run.id for run in left.runs] == [group.runs[-1].id]
    assert store.load("memorai", "memorai")[0] == left
    assert [note["reason"] for note in left.notes] == ["a backup ran", "pruned to 1"]
    with pytest.raises(BaselineError, match="no accepted run nobody"):
        store.drop("memorai", "nobody", "why")


def test_a_cut_begins_the_baseline_at_the_named_run(
    store: BaselineStore, made: list[RunRecord]
) -> None:
    group = store.accept(made)
    left = store.cut("memorai", group.runs[1].id, "new database")
    assert [run.id for run in left.runs] == [run.id for run in group.runs[1:]]
    assert left.notes[0]["reason"] == "new database"
    with pytest.raises(BaselineError, match="nothing to cut off"):
        store.cut("memorai", group.runs[1].id, "again")
    with pytest.raises(BaselineError, match="no accepted run"):
        store.cut("memorai", group.runs[0].id, "gone")


def test_dropping_the_last_run_removes_the_file(
    store: BaselineStore, made: list[RunRecord]
) -> None:
    store.accept(made[:1])
    store.drop("memorai", made[0].id, "wrong")
    assert not store.path("memorai", "memorai").exists()
    assert store.all() == ()


@pytest.mark.parametrize(
    ("field", "value", "phrase"),
    [
        ("machine", "aarch64", "architecture: aarch64 here, x86_64 there"),
        ("kernel", "Linux 9.9", "kernel: Linux 9.9 here, Linux 6.1 there"),
        ("cores_usable", 1, "cores: 1 here, 4 there"),
        ("harness", "9.9", "harness: 9.9 here, 0.1.0 there"),
    ],
)
def test_another_machine_or_harness_is_no_comparison_unless_ignored(
    store: BaselineStore, made: list[RunRecord], field: str, value: object, phrase: str
) -> None:
    known = made[0].environment | {"machine": "x86_64", "cores_usable": 4}
    accepted, other = (
        replace(one, meta=one.meta | {"environment": environment})
        for one, environment in ((made[0], known), (made[1], known | {field: value}))
    )
    store.accept([accepted])
    wanted = conditions_of(other)
    with pytest.raises(NoBaseline, match=phrase):
        store.comparable("memorai", "memorai", wanted)
    ignored = (*MACHINE, "harness")
    assert store.comparable("memorai", "memorai", wanted, ignored).runs[0].id == accepted.id


def test_options_of_the_generator_target_and_replay_are_conditions(made: list[RunRecord]) -> None:
    one = made[0]
    target = replace(one.plan.target, environment={"url": "http://other"})
    others = {
        "connections 7": replace(one.plan, connections_per_target=7),
        "workers 2": replace(one.plan, workers=2),
        "in flight 9": replace(one.plan, max_in_flight=9),
        "target: ": replace(one.plan, target=target),
        "journeys: ": replace(
            one.plan,
            traffic=replace(one.plan.traffic, journeys=(Journey("a", "b"),), journeys_digest="x"),
        ),
    }
    for phrase, changed in others.items():
        (found,) = (
            text
            for text in conditions_of(replace(one, plan=changed)).differences(conditions_of(one))
            if not text.startswith("traffic")
        )
        assert phrase in found
    traces = [
        replace(one.plan, profile=replace(one.plan.profile, replay_ns=due))
        for due in ((1, 2, 3), (1, 2, 4))
    ]
    first, second = (conditions_of(replace(one, plan=trace)) for trace in traces)
    assert [text.partition(":")[0] for text in first.differences(second)] == ["replay"]


def test_a_condition_that_an_old_baseline_did_not_keep_is_unknown_and_no_mismatch(
    store: BaselineStore, made: list[RunRecord]
) -> None:
    wanted = conditions_of(made[0])
    old = replace(wanted, kernel=None, generator=None, target=None)
    store.save(Baseline("memorai", "memorai", old, (measure(made[1]),)))
    found = store.comparable("memorai", "memorai", wanted)
    assert [run.id for run in found.runs] == [made[1].id]
    assert wanted.unknown(found.conditions) == ("kernel", "target", "generator")
    store.accept([made[0]])
    both = store.comparable("memorai", "memorai", wanted)
    assert {run.id for run in both.runs} == {made[0].id, made[1].id}
