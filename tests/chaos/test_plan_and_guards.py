"""The plan refuses what is too wide and says what cannot be; the guards abort when they must."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from harness.catalog import load_catalog, project_root
from harness.catalog.model import Service
from harness.chaos.experiment import load_experiment, shortened
from harness.chaos.guards import Watch
from harness.chaos.model import BlastRadius, Experiment, ExperimentPlan, Guards, Hit, Needs
from harness.chaos.plan import check, plan_experiment
from harness.cli.experiment import hit_sentence
from harness.errors import ExperimentError
from harness.messages import SliceRow
from harness.platform.model import Fault
from harness.platform.undo import UndoRecord
from tests.chaos.conftest import EU, US, Remembering


@pytest.fixture
def experiment() -> Experiment:
    """The active one of two regions fails."""
    return load_experiment("fail-region", project_root())


def test_a_plan_names_exactly_what_it_would_hit(
    experiment: Experiment, service: Service, platform: Remembering
) -> None:
    """And touches nothing; its cost is known before."""
    plan = plan_experiment(experiment, service, platform)
    check(plan)
    assert plan.hits[0].targets == (f"m-{US}-0", f"m-{US}-1")
    assert plan.share == 0.5
    assert plan.budget_cost
    assert platform.effects == []
    assert [step.at_s for step in plan.timeline] == sorted(step.at_s for step in plan.timeline)


def test_more_than_the_stated_share_is_refused(
    experiment: Experiment, service: Service, platform: Remembering
) -> None:
    """Half of the replicas where a quarter is allowed."""
    narrow = replace(experiment, blast_radius=BlastRadius(share=0.25))
    with pytest.raises(ExperimentError, match="more than 25"):
        check(plan_experiment(narrow, service, platform))


def test_the_last_healthy_region_is_never_hit(
    experiment: Experiment, service: Service, platform: Remembering
) -> None:
    """Not even where the share would allow it, unless the file says so."""
    both = (Fault("fail-region", {"region": US}), Fault("fail-region", {"region": EU}))
    wide = replace(experiment, faults=both, blast_radius=BlastRadius(share=1.0))
    with pytest.raises(ExperimentError, match="last healthy region"):
        check(plan_experiment(wide, service, platform))
    allowed = replace(wide, blast_radius=BlastRadius(share=1.0, last_region=True))
    check(plan_experiment(allowed, service, platform))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"faults": (Fault("clock-jump", {}),)}, "no such clock here"),
        ({"faults": (Fault("flood", {}),)}, "does not know it"),
        ({"needs": Needs(regions=3)}, "needs 3 regions, there are 2"),
        ({"platforms": ("kubernetes",)}, "written for kubernetes"),
    ],
)
def test_what_the_platform_cannot_carry_out_is_not_applicable(
    experiment: Experiment,
    service: Service,
    platform: Remembering,
    changes: dict[str, Any],
    said: str,
) -> None:
    """With the reason, before anything runs."""
    plan = plan_experiment(replace(experiment, **changes), service, platform)
    assert said in plan.missing[0]
    with pytest.raises(ExperimentError, match="not applicable"):
        check(plan)


def test_what_a_service_lacks_to_survive_it_fails_without_a_fault(
    experiment: Experiment,
    service: Service,
    platform: Remembering,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too few regions of its own are then no excuse."""
    alone = "no ready pod in eu-west-1, where it should run"
    monkeypatch.setattr(Remembering, "preflight_failures", lambda *_: (alone,))
    plan = plan_experiment(replace(experiment, needs=Needs(regions=3)), service, platform)
    assert (plan.weaknesses, plan.missing) == ((alone,), ())
    with pytest.raises(ExperimentError, match="fails as it is: no ready pod in eu-west-1"):
        check(plan)


def test_a_plan_says_what_is_not_as_the_file_asks_and_what_the_canary_cannot_see(
    experiment: Experiment,
    service: Service,
    platform: Remembering,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything runs, and not as an inconclusive run afterwards."""
    told = UndoRecord("f", "fail-region", notes=("hold is not kept",))
    monkeypatch.setattr(Remembering, "plan_heal", lambda *_: told)
    cut = Fault("fail-region", {"regions": ["us-east-1", "mars"]})
    plan = plan_experiment(replace(experiment, faults=(cut,)), service, platform)
    assert plan.notes[0] == "hold is not kept"
    assert "no entry point of the canary leads across us-east-1|mars" in plan.notes[1]
    cut = Fault("fail-region", {"regions": ["us-east-1", "eu-west-1"]})
    notes = plan_experiment(replace(experiment, faults=(cut,)), service, platform).notes
    assert not any("canary" in note for note in notes)


@pytest.mark.parametrize(("after_s", "noted"), [(9.5, True), (10.0, False)])
def test_a_plan_says_where_too_little_is_left_to_show_a_recovery(
    experiment: Experiment, service: Service, platform: Remembering, after_s: float, *, noted: bool
) -> None:
    found = plan_experiment(shortened(experiment, 11, after_s), service, platform)
    assert any("s after a heal are too few" in note for note in found.notes) is noted


def test_an_action_on_a_cluster_is_not_applicable_on_the_lab(
    experiment: Experiment, service: Service, platform: Remembering
) -> None:
    """It would act on whatever cluster the user's kubeconfig names."""
    module = "chaosk8s.pod.actions"
    provider: Any = {"type": "python", "module": module, "func": "terminate_pods"}
    document = dict(experiment.document)
    document["method"] = [{"type": "action", "name": "lose pods", "provider": provider}]
    found = replace(experiment, document=document)  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match=r"`lose pods` .* acts on a cluster, which the lab"):
        check(plan_experiment(found, service, platform))


def test_a_plan_names_who_will_feel_it(experiment: Experiment, platform: Remembering) -> None:
    """By the dependencies of the catalogue, at one remove and further."""
    wallet = load_catalog(project_root() / "services").service("wallet")
    notes = plan_experiment(experiment, wallet, platform).notes
    assert notes[0] == (
        "felt by bancai, cumparai, stocai, x, which call wallet;"
        " declared to answer without it: cumparai"
    )


def test_a_fault_that_matches_nothing_is_refused(
    experiment: Experiment, service: Service, platform: Remembering
) -> None:
    """It would pass for a fault that was survived."""
    nowhere = replace(experiment, faults=(Fault("kill-replicas", {"region": "mars"}),))
    with pytest.raises(ExperimentError, match="no replica in mars"):
        check(plan_experiment(nowhere, service, platform))


def _seconds(watch: Watch, begin: int, count: int, failed: int) -> None:
    for second in range(begin, begin + count):
        watch.add(_slice("done", second, failed, 200 - failed))


def _slice(axis: Literal["due", "done"], second: int, failed: int, completed: int) -> SliceRow:
    return {
        "axis": axis, "second": second, "endpoint": "all", "offered": 0, "failed": failed,
        "completed": completed, "unfinished": 0, "errors": {}, "bytes_in": 0, "bytes_out": 0,
        "connects": 0, "hist": {},
    }  # fmt: skip


def test_a_guard_aborts_when_its_limit_is_broken_for_sure(service: Service) -> None:
    """Within a few seconds of an outage; what came before the injection does not count."""
    watch = Watch(Guards(error_ratio=0.5), service)
    _seconds(watch, 0, 10, 0)
    _seconds(watch, 10, 3, 190)
    assert "95" in (watch.broken(10) or "")


def test_a_guard_lets_a_fault_within_its_limit_be(service: Service) -> None:
    """However often it looks."""
    watch = Watch(Guards(error_ratio=0.5), service)
    for second in range(60):
        _seconds(watch, second, 1, 90)
        assert watch.broken(0) is None


def test_a_guard_of_the_error_budget_aborts(service: Service) -> None:
    """The sentence names the share that is spent."""
    watch = Watch(Guards(error_ratio=None, budget=0.0001), service)
    _seconds(watch, 0, 20, 200)
    assert "error budget" in (watch.broken(0) or "")


def test_slices_by_due_time_say_nothing_of_now(service: Service) -> None:
    """Only what has ended is known."""
    watch = Watch(Guards(error_ratio=0.1), service)
    watch.add(_slice("due", 3, 200, 0))
    assert watch.broken(0) is None


@pytest.mark.parametrize(
    ("targets", "arguments", "said"),
    [
        (
            ("m-a-0",),
            {"region": "a", "count": 1, "seed": 7},
            "kill hits 1 of 2 replicas of memorai in a, chosen by seed 7: m-a-0",
        ),
        (("m-a-0", "m-b-0"), {}, "kill hits 2 of 2 replicas of memorai: m-a-0, m-b-0"),
        (("a|b",), {"regions": ["a", "b"]}, "kill hits a|b"),
        ((), {}, "kill hits nothing"),
    ],
)
def test_a_hit_reads_as_a_sentence(
    targets: tuple[str, ...], arguments: dict[str, Any], said: str
) -> None:
    plan = ExperimentPlan("e", "memorai", "lab", (), 0.5, (), ready=("m-a-0", "m-b-0"))
    assert hit_sentence(Hit(Fault("kill", arguments), targets, None), plan) == said
