"""What was confirmed is what is done: the process that injects gets the plan, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from harness.catalog import project_root
from harness.catalog.model import Service
from harness.chaos import actions, context, processes
from harness.chaos.confirmed import confirmed_of
from harness.chaos.context import Context
from harness.chaos.experiment import load_experiment
from harness.chaos.ledger import Ledger
from harness.chaos.method import Act, Method
from harness.chaos.model import BlastRadius, Experiment
from harness.chaos.plan import check, plan_experiment
from harness.errors import ExperimentError
from harness.platform.model import Fault
from tests.chaos.conftest import EU, US, Remembering

KILL = Fault("kill-replicas", {"region": US, "count": 1, "hold": True})
Inject = Callable[[Experiment], Callable[[Fault], dict[str, Any]]]


def experiment(*faults: Fault, heals: bool = False, **radius: Any) -> Experiment:
    """A file that injects these faults; it `heals` after each, or at the end."""
    found = load_experiment("kill-replica", project_root())
    acts = [
        Act(float(n), fault) for n, each in enumerate(faults) for fault in (each, *([None] * heals))
    ]
    return replace(
        found, faults=faults, method=Method(tuple(acts)), blast_radius=BlastRadius(**radius)
    )


@pytest.fixture
def injecting(
    platform: Remembering, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Inject:
    """The process that injects, with the plan of an experiment as it was confirmed."""

    def begin(made: Experiment) -> Callable[[Fault], dict[str, Any]]:
        plan = plan_experiment(made, service, platform)
        check(plan)
        found = Context({}, service, str(tmp_path / "ledger"), "/", None)
        found = replace(found, confirmed=confirmed_of(made, plan))
        found.write(tmp_path / "context.json")
        monkeypatch.setenv(processes.VARIABLE, str(tmp_path / "context.json"))
        monkeypatch.setattr(context, "attach", lambda _: platform)
        context.current.cache_clear()
        context.injections.cache_clear()
        return lambda fault: actions.inject(fault.kind, **fault.arguments)

    return begin


@pytest.fixture(autouse=True)
def _forget() -> Any:
    yield
    context.current.cache_clear()
    context.injections.cache_clear()


def test_a_second_fault_is_planned_on_what_the_first_leaves(
    service: Service, platform: Remembering
) -> None:
    """Both would hold at one time: together they take a whole region."""
    plan = plan_experiment(experiment(KILL, KILL), service, platform)
    assert sorted(name for hit in plan.hits for name in hit.targets) == [f"m-{US}-0", f"m-{US}-1"]
    assert plan.share == 0.5
    narrow = plan_experiment(experiment(KILL, KILL, share=0.25), service, platform)
    with pytest.raises(ExperimentError, match=r"it would hit 50.00 % .* more than 25.00 %"):
        check(narrow)


def test_two_faults_of_one_replica_each_may_not_take_the_last_region(
    service: Service, platform: Remembering
) -> None:
    platform.down = {f"m-{EU}-0", f"m-{EU}-1"}
    with pytest.raises(ExperimentError, match="last healthy region"):
        check(plan_experiment(experiment(KILL, KILL, share=1.0), service, platform))


def test_what_a_heal_has_undone_does_not_count(service: Service, platform: Remembering) -> None:
    made = experiment(KILL, KILL, heals=True, share=0.25)
    plan = plan_experiment(made, service, platform)
    check(plan)
    assert plan.share == 0.25
    assert plan.hits[0].targets == plan.hits[1].targets


def test_the_share_is_that_of_the_widest_faults(service: Service, platform: Remembering) -> None:
    two = Fault("kill-replicas", {"region": US, "count": 2})
    assert plan_experiment(experiment(two, KILL, heals=True), service, platform).share == 0.5


def test_a_region_that_is_cut_off_is_taken_from_the_users(
    service: Service, platform: Remembering
) -> None:
    """Though it is its links that are hit."""
    cut = Fault("isolate-region", {"region": US})
    plan = plan_experiment(experiment(cut), service, platform)
    assert plan.hits[0].targets == (f"{US}|{EU}",)
    assert plan.share == 0.5
    platform.down = {f"m-{EU}-0", f"m-{EU}-1"}
    with pytest.raises(ExperimentError, match="last healthy region"):
        check(plan_experiment(experiment(cut, share=1.0), service, platform))


def test_exactly_what_was_confirmed_is_hit(injecting: Inject, platform: Remembering) -> None:
    """Though by its seed another would be drawn now."""
    one = Fault("kill-replicas", {"count": 1})
    platform.down = {f"m-{EU}-0", f"m-{EU}-1"}
    inject = injecting(experiment(one))
    (confirmed,) = platform.drawn
    platform.down = set()
    told = inject(one)
    assert told["targets"] == confirmed
    assert platform.effects == [told["fault_id"]]
    again = platform.plan_heal(context.current().service, one, "again")
    assert list(again.targets) != confirmed


def test_a_target_that_is_not_ready_any_more_is_not_replaced(
    injecting: Inject, platform: Remembering
) -> None:
    inject = injecting(experiment(KILL))
    platform.down = set(platform.drawn[-1])
    with pytest.raises(ActivityFailed, match=r"m-us-east-1-\d is not ready any more") as problem:
        inject(KILL)
    assert "\n" not in str(problem.value)
    assert platform.effects == []


def test_a_region_that_has_grown_is_not_hit(injecting: Inject, platform: Remembering) -> None:
    whole = Fault("fail-region", {"region": US})
    inject = injecting(experiment(whole))
    platform.grown = True
    said = f"confirmed for m-{US}-0, m-{US}-1, and now it would hit m-{US}-0, m-{US}-1, m-{US}-2"
    with pytest.raises(ActivityFailed, match=said):
        inject(whole)
    assert platform.effects == []


@pytest.mark.parametrize(
    "other", [Fault("fail-region", {"region": US}), Fault("kill-replicas", {"region": EU})]
)
def test_what_no_plan_shows_is_not_injected(
    injecting: Inject, platform: Remembering, other: Fault
) -> None:
    """By a rollback, or by a module of one's own."""
    inject = injecting(experiment(KILL))
    with pytest.raises(ActivityFailed, match="is not in the plan that was confirmed"):
        inject(other)
    assert platform.effects == []


def test_a_fault_is_injected_as_often_as_it_was_confirmed(
    injecting: Inject, platform: Remembering
) -> None:
    inject = injecting(experiment(KILL))
    inject(KILL)
    with pytest.raises(ActivityFailed, match="is not in the plan that was confirmed"):
        inject(KILL)
    assert len(platform.effects) == 1


def test_the_blast_radius_counts_the_faults_that_hold(
    injecting: Inject, platform: Remembering, tmp_path: Path
) -> None:
    """One that the plan took for healed: its heal failed."""
    inject = injecting(experiment(KILL, share=0.25))
    other = platform.plan_heal(
        context.current().service, Fault("kill-replicas", {"region": EU, "count": 1}), "other-1"
    )
    Ledger(tmp_path / "ledger").intend(other, {})
    platform.down = set(other.targets)
    with pytest.raises(ActivityFailed, match=r"with the faults that hold it would hit 50.00 %"):
        inject(KILL)
    assert platform.effects == []


def test_without_a_plan_a_fault_is_resolved_as_it_is_injected(
    injecting: Inject, platform: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under plain `chaos run`."""
    inject = injecting(experiment(KILL))
    monkeypatch.setattr(actions, "injections", lambda: None)
    inject(Fault("kill-replicas", {"region": EU}))
    assert len(platform.effects) == 1
