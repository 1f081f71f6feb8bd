"""What Chaos Toolkit could not carry out is named, and never the service's fault."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.judge.experiment import ExperimentVerdict, judge_experiment
from harness.judge.experiment.execution import activities, judge_steady_state
from harness.record import RunRecord
from tests.judge.made_experiment import HEAL, INJECT, Story, experiment

SOUND = Story()
MET: Any = {"steady_state_met": True, "probes": []}


def action(status: str | None = "succeeded", **fields: Any) -> Any:
    provider = fields.pop("provider", {"type": "python", "module": "os", "func": "remove"})
    about = {"type": fields.pop("type", "action"), "name": "boom", "provider": provider}
    about |= {key: fields.pop(key) for key in ("tolerance",) if key in fields}
    return {"activity": about, "status": status, **fields}


def process(code: int, **fields: Any) -> Any:
    output = {"status": code, "stdout": "", "stderr": "first\nno such file\n"}
    return action(provider={"type": "process", "path": "false"}, output=output, **fields)


AGAIN = "chaoslib.exceptions.ActivityFailed: chaoslib.exceptions.ActivityFailed: no.\n"
FAILED = action("failed", exception=["Traceback", "chaoslib.exceptions.ActivityFailed: gone\n"])
OUTSIDE = action(type="probe", tolerance=True, output=False, tolerance_met=False)

PROBLEMS: list[tuple[Any, str, str]] = [
    (FAILED, "inconclusive", "Action `boom` failed: gone."),
    (action("failed", exception=[AGAIN]), "inconclusive", "Action `boom` failed: no."),
    (action(None), "inconclusive", "Action `boom` had not ended at the end."),
    (process(3), "inconclusive", "Action `boom` ended with exit code 3: no such file."),
    (OUTSIDE, "fail", "Probe `boom` gave false, outside its tolerance true."),
    (
        action(provider={"type": "http"}, output={"status": 503}),
        "inconclusive",
        "Action `boom` was answered with status 503.",
    ),
]


@pytest.mark.parametrize(("run", "word", "said"), PROBLEMS, ids=[said for *_, said in PROBLEMS])
def test_each_activity_that_went_wrong_is_named(run: Any, word: str, said: str) -> None:
    found = activities({"run": [run], "status": "completed"}, (), ())
    assert (found.outcome, found.statement) == (word, said)


def test_an_exit_code_within_its_tolerance_and_what_succeeded_are_fine() -> None:
    runs = [process(3, tolerance=3, tolerance_met=True), process(0), action()]
    found = activities({"run": runs, "rollbacks": [action()]}, (), ())
    assert (found.outcome, found.measured) == ("pass", "4 activities")


def test_a_doubt_beside_a_tolerance_that_was_not_met_is_a_doubt() -> None:
    assert activities({"run": [OUTSIDE, FAILED]}, (), ()).outcome == "inconclusive"


def test_an_interruption_is_named_with_its_reason_unless_the_harness_made_it() -> None:
    said: Any = ({"what": "interrupted", "detail": "latency is too high"},)
    journal: Any = {"status": "interrupted"}
    found = activities(journal, (), said)
    assert found.statement == (
        "The experiment was interrupted before its end: latency is too high."
    )
    assert activities(journal, (), said, aborted=True).outcome is None


def test_a_control_that_failed_is_named() -> None:
    said: Any = ({"what": "control", "name": "guard", "detail": "KeyError: 'x'"},)
    assert activities({}, (), said).statement == "The control `guard` failed: KeyError: 'x'."


def test_without_a_journal_the_activity_that_never_ended_is_named() -> None:
    begun: list[Any] = [{"what": what, "name": "a"} for what in ("begin", "end")]
    begun.append({"what": "begin", "name": "hangs"})
    assert "Activity `hangs` had not ended" in activities({}, begun, ()).statement


@pytest.mark.parametrize(("dry", "left"), [("Dry.ACTIONS", True), ("Dry.PROBES", False)])
def test_an_activity_that_is_left_out_by_itself_is_named(dry: str, *, left: bool) -> None:
    run = action()
    run["activity"]["dry"] = dry
    found = activities({"run": [run], "status": "completed"}, (), ())
    assert (found.outcome == "inconclusive") is left
    assert ("Action `boom` was a dry run (actions)." in found.statement) is left


def test_a_dry_run_proves_nothing() -> None:
    assert activities({"experiment": {"dry": "actions"}}, (), ()).outcome == "inconclusive"


def probe(kind: str = "python", **fields: Any) -> Any:
    about = {"name": "answers", "provider": {"type": kind}, "tolerance": [1, 2]}
    return {"steady_state_met": False, "probes": [{"activity": about, **fields}]}


BROKEN = probe(status="failed", exception=["chaoslib.exceptions.ActivityFailed: too slow"])


@pytest.mark.parametrize(
    ("before", "after", "word", "said"),
    [
        (MET, MET, "pass", "held before and after"),
        (MET, None, "inconclusive", "was not checked after the fault"),
        (MET, BROKEN, "inconclusive", "probe `answers` failed: too slow"),
        (MET, probe("http", status="failed"), "fail", "probe `answers` failed"),
        (MET, probe(tolerance_met=False, output=9), "fail", "probe `answers` gave 9, not [1, 2]"),
        (BROKEN, None, "inconclusive", "did not hold before the fault: probe `answers` failed"),
        (None, None, None, "There is no steady state"),
    ],
)
def test_the_steady_state_is_judged_by_its_probes(
    before: Any, after: Any, word: str | None, said: str
) -> None:
    made = judge_steady_state({"steady_states": {"before": before, "after": after}})
    assert made[0] == word
    assert said in made[3]


@pytest.mark.parametrize(
    ("strategy", "states", "word", "said"),
    [
        ("after-method-only", {"after": MET}, "pass", "held after the fault"),
        ("after-method-only", {"after": None}, "inconclusive", "was never checked"),
        ("before-method-only", {"before": MET}, "inconclusive", "not checked after the fault"),
        ("during-method-only", {"during": [MET, MET]}, "pass", "held 2 of 2 times during"),
        ("during-method-only", {"during": [MET, BROKEN]}, "fail", "held 1 of 2 times during"),
        ("skip", {}, None, "The file skips its steady state"),
        ("continously", {"before": MET, "after": MET, "during": [MET]}, "pass", "(1 of 1 times"),
    ],
)
def test_a_steady_state_is_judged_by_what_the_strategy_of_the_file_checks(
    strategy: str, states: Any, word: str | None, said: str
) -> None:
    asked: Any = {"steady-state-hypothesis": {"probes": [{}]}}
    asked["runtime"] = {"hypothesis": {"strategy": strategy}}
    made = judge_steady_state({"steady_states": states, "experiment": asked})
    assert made[0] == word
    assert said in made[3]


def lost_pods(*pods: str, **experiment: Any) -> Any:
    """The journal of an action of chaostoolkit-kubernetes that says which pods it has hit."""
    provider = {"type": "python", "module": "chaosk8s.pod.actions", "func": "terminate_pods"}
    activity = {"type": "action", "name": "lose pods", "provider": provider}
    run = {"activity": activity, "status": "succeeded", "output": list(pods)}
    return {"run": [run], "experiment": experiment}


HEAL_ONLY = [{"provider": {"module": "harness.chaos.actions", "func": "heal"}}]
OWN = [{"provider": {"type": "process", "path": "kubectl"}}]


@pytest.mark.parametrize(
    ("experiment", "who"),
    [
        ({"rollbacks": OWN}, "Only the file's own rollbacks undo"),
        ({"rollbacks": HEAL_ONLY}, "Nothing undoes"),
        ({}, "Nothing undoes"),
        ({"rollbacks": OWN, "runtime": {"rollbacks": {"strategy": "never"}}}, "Nothing undoes"),
    ],
)
def test_what_an_extension_has_hit_is_named_with_who_undoes_it(
    experiment: dict[str, Any], who: str
) -> None:
    found = activities(lost_pods("memorai-1", "memorai-2", **experiment), [], [])
    named = "`lose pods` (chaosk8s.pod.actions.terminate_pods) on memorai-1, memorai-2"
    assert found.outcome == "pass"
    assert f"{who} what was done by {named}." in found.statement


def test_an_action_of_an_extension_that_matches_nothing_has_done_nothing() -> None:
    found = activities(lost_pods(), [], [])
    assert found.outcome == "inconclusive"
    assert "Action `lose pods` matched nothing." in found.statement


def test_a_probe_that_could_not_be_asked_during_the_fault_is_named() -> None:
    states: Any = {"before": MET, "after": None, "during": [MET, BROKEN]}
    made = judge_steady_state({"steady_states": states})
    assert "not checked after the fault: probe `answers` failed: too slow" in made[3]


def test_a_steady_state_that_was_never_checked_is_a_doubt() -> None:
    journal: Any = {"experiment": {"steady-state-hypothesis": {"probes": [{}]}}}
    assert judge_steady_state(journal)[0] == "inconclusive"


def judged(root: Path, journal: dict[str, Any], **broken: Any) -> ExperimentVerdict:
    record = experiment(root, replace(SOUND, **broken))
    path = record.directory / "journal.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | journal))
    return judge_experiment(record)


def test_an_action_that_fails_silently_makes_a_passing_experiment_a_doubt(tmp_path: Path) -> None:
    verdict = judged(tmp_path, {"run": [FAILED]})
    assert verdict.outcome == "inconclusive"
    assert verdict.reasons[0] == "Action `boom` failed: gone."


def test_after_a_failed_action_a_late_recovery_is_not_the_services_failure(tmp_path: Path) -> None:
    late: dict[str, Any] = {"outage": (INJECT, HEAL + 1), "over_at": None}
    assert judged(tmp_path / "a", {}, **late).outcome == "fail"
    assert judged(tmp_path / "b", {"run": [FAILED]}, **late).outcome == "inconclusive"


def test_a_lost_write_is_one_whatever_else_failed(tmp_path: Path) -> None:
    assert judged(tmp_path, {"run": [FAILED]}, lost=2).outcome == "fail"


def test_a_method_that_outlasts_the_load_is_named(tmp_path: Path) -> None:
    late = {"type": "chaos", "t": 50.0, "what": "overrun", "detail": "The load ended first"}
    verdict = judged(tmp_path, {}, extra=(late,))
    assert (verdict.outcome, verdict.reasons[0]) == ("inconclusive", "The load ended first.")


def without_fault(root: Path, *more: str) -> RunRecord:
    """The made-up record without the events of its fault, nor those of `more` types."""
    record = experiment(root)
    path = record.directory / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [
        e
        for e in events
        if e["type"] not in {"proof", *more} and e.get("what") not in {"inject", "healed"}
    ]
    kept.append({"type": "chaos", "t": 1.0, "what": "plan"})
    path.write_text("".join(json.dumps(each) + "\n" for each in kept))
    return RunRecord.load(record.directory)


def test_a_file_that_breaks_things_by_itself_is_judged_without_proof(tmp_path: Path) -> None:
    verdict = judge_experiment(without_fault(tmp_path))
    assert verdict.outcome == "pass", verdict.reasons
    proof = next(check for check in verdict.checks if check.name == "proof of effect")
    assert (proof.outcome, proof.measured) == (None, "-")
    assert "undone" not in [check.name for check in verdict.checks]


def test_nothing_injected_names_the_probe(tmp_path: Path) -> None:
    record = without_fault(tmp_path, "stage")
    journal = {"steady_states": {"before": probe(tolerance_met=False, output=9)}}
    (record.directory / "journal.json").write_text(json.dumps(journal))
    verdict = judge_experiment(record)
    assert verdict.outcome == "inconclusive"
    assert "probe `answers` gave 9, not [1, 2]" in " ".join(verdict.reasons)
    assert verdict.again == verdict.reasons[0], "a busy machine may be to blame"


def test_a_probe_that_a_busy_machine_could_not_ask_is_to_be_measured_again(tmp_path: Path) -> None:
    record = experiment(tmp_path, SOUND)
    failed = probe(status="failed", exception=["ActivityFailed: it did not end within 5 s"])
    states = {"before": MET, "after": failed}
    (record.directory / "journal.json").write_text(json.dumps({"steady_states": states}))
    verdict = judge_experiment(record)
    assert verdict.outcome == "inconclusive"
    assert "did not end within 5 s" in (verdict.again or "")


@pytest.mark.parametrize(
    ("after", "said"), [(1, "pass"), (13, "pass"), (15, "inconclusive"), (19, "fail")]
)
def test_a_recovery_is_held_against_the_objective_and_not_against_a_spotless_before(
    tmp_path: Path, after: int, said: str
) -> None:
    """One request of 7,600 is nothing where 0.1 % may fail, one of 500 a doubt, more a failure."""

    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        if INJECT <= second < 25:
            return {"timeout": offered // 2}
        late = 0 <= second - (HEAL + 3) < after and endpoint == "GET recall"
        return {"check": 1} if late else {}

    verdict = judged(tmp_path, {}, made={"failures": failures})
    tail = next(check for check in verdict.checks if check.name == "tail after")
    assert (tail.outcome, verdict.outcome) == (said, said), verdict.reasons


@pytest.mark.parametrize(("count", "said"), [(4, "inconclusive"), (12, "fail")])
def test_a_recovery_that_is_late_by_what_noise_may_explain_is_a_doubt(
    tmp_path: Path, count: int, said: str
) -> None:
    """Four failed of 400 in a second are rarer than one in 1,000, not than one in 10,000."""

    def failures(second: int, endpoint: str, offered: int) -> dict[str, int]:
        late = second >= HEAL + 10 and endpoint == "GET recall"
        return {"check": count} if late else {}

    verdict = judged(tmp_path, {}, made={"failures": failures})
    assert next(check.outcome for check in verdict.checks if check.name == "recovery") == said
