"""A fleet: which services, in which order, what each run leaves, and how it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.fleet_faults import Plant, drive
from harness.catalog import load_catalog
from harness.catalog.load import project_root
from harness.cli import run as cli
from harness.cli.fleet import command
from harness.errors import Interrupted, UsageError
from harness.fleet import run as running
from harness.fleet.model import Entry, Fleet, FleetOptions, chosen, in_order, latest, seed_of
from harness.fleet.run import run_fleet
from harness.report.fleet import summary

SERVICES = load_catalog(project_root() / "services").services()
OPTIONS = FleetOptions((), ("--rate", "300"), 70.0, 1)
Ran = tuple[int | None, Mapping[str, Any], str]


def verdict(p95_s: float, errors: float) -> dict[str, object]:
    rows = (("P95", "latency", p95_s), ("errors", "error_ratio", errors))
    return {
        "run": "r1",
        "reasons": ["why"],
        "objectives": [
            {"objective": {"name": name, "indicator": kind}, "estimate": value}
            for name, kind, value in rows
        ],
    }


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Ran | type[BaseException]]:
    """What a run of each service gives; a pass where nothing is said."""
    found: dict[str, Ran | type[BaseException]] = {}

    def ran(words: Sequence[str], within_s: float) -> Ran:
        made = found.get(words[1], (0, verdict(0.01, 0.0), ""))
        if isinstance(made, type):
            raise made
        return made

    monkeypatch.setattr(running, "_ran", ran)
    return found


def test_every_night_has_an_order_of_its_own_that_is_the_same_all_day() -> None:
    first, second = (seed_of(date(2026, 11, day)) for day in (29, 30))
    names = [[each.name for each in in_order(SERVICES, seed)] for seed in (first, first, second)]
    assert names[0] == names[1] != names[2]
    assert sorted(names[0]) == sorted(names[2]) == sorted(each.name for each in SERVICES)


def test_services_are_chosen_by_name_tier_and_core_application() -> None:
    assert len(chosen(SERVICES)) == 29
    assert len(chosen(SERVICES, core_apps=True)) == 11
    assert {each.tier for each in chosen(SERVICES, tiers=["user"])} == {"user"}
    assert [each.name for each in chosen(SERVICES, ["wallet"])] == ["wallet"]
    with pytest.raises(UsageError, match="no tier 'users'"):
        chosen(SERVICES, tiers=["users"])
    with pytest.raises(UsageError, match="no service is left"):
        chosen(SERVICES, ["hub"], core_apps=True)


@pytest.mark.parametrize(
    ("ran", "outcome", "reason"),
    [
        ((0, verdict(0.02, 0.001), ""), "pass", "why"),
        ((1, verdict(0.2, 0.0), ""), "fail", "why"),
        ((4, verdict(0.2, 0.0), ""), "invalid", "why"),
        ((None, {}, ""), "inconclusive", "longer than its budget"),
        ((2, {}, "harness: no such file"), "inconclusive", "could not be run: no such file"),
        ((70, {}, ""), "inconclusive", "defect"),
    ],
)
def test_a_run_becomes_an_entry_whatever_it_did(
    answers: dict[str, Ran], tmp_path: Path, ran: Ran, outcome: str, reason: str
) -> None:
    answers["hub"] = ran
    (entry,) = run_fleet(chosen(SERVICES, ["hub"]), OPTIONS, tmp_path).entries
    assert entry.outcome == outcome
    assert reason in entry.reason


def test_an_interrupted_fleet_goes_on_where_it_was(
    answers: dict[str, Ran | type[BaseException]], tmp_path: Path
) -> None:
    meant = chosen(SERVICES, tiers=["user"])
    third = in_order(meant, 1)[2].name
    answers[third] = KeyboardInterrupt
    with pytest.raises(Interrupted):
        run_fleet(meant, OPTIONS, tmp_path)
    before = latest(tmp_path)
    assert before is not None
    assert [each.outcome for each in before.entries[:3]] == ["pass", "pass", "not run"]
    answers[third] = (1, verdict(0.2, 0.0), "")
    after = run_fleet((), replace(OPTIONS, seed=9), tmp_path, resume=True)
    assert after.id == before.id
    assert after.entries[:2] == before.entries[:2]
    assert (after.rest, after.exit_code) == ((), 1)
    with pytest.raises(UsageError, match="no fleet is left"):
        run_fleet((), OPTIONS, tmp_path, resume=True)


def fleet(*words: str) -> Fleet:
    entries = tuple(Entry(f"s{i}", "user", word) for i, word in enumerate(words))  # type: ignore[arg-type]
    return Fleet("1", OPTIONS, entries)


def test_the_worst_verdict_is_the_answer_and_what_was_not_run_is_no_pass() -> None:
    assert fleet("pass", "pass").exit_code == 0
    assert fleet("pass", "fail", "inconclusive").exit_code == 1
    assert fleet("pass", "not run").exit_code == 3
    assert fleet("fail", "invalid").exit_code == 1


def test_the_scorecard_has_a_row_for_each_service_with_its_age() -> None:
    entry = Entry("hub", "infrastructure", "pass", "", 0.012, 0.0, None, "r", 100.0, 40.0)
    found = summary(Fleet("1", OPTIONS, (entry,)), 160.0)
    assert found.tables[0].rows == (
        ("hub", "infrastructure", "pass", "12.0 ms", "0 %", "not tested", "1m 00s"),
    )


@pytest.mark.lab
def test_one_service_is_really_driven_and_a_budget_really_ends_it(tmp_path: Path) -> None:
    words = ["fleet", "hub", "--rate", "100", "--duration", "3s", "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words, "--budget", "2s", "--json"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (done.returncode, told["entries"][0]["outcome"]) == (3, "inconclusive")
    assert "longer than its budget" in told["entries"][0]["reason"]


@pytest.mark.lab
def test_a_fault_that_is_planted_in_a_service_is_found_with_its_cause() -> None:
    """One of the cases of `benchmarks.fleet_faults`."""
    plant = Plant(
        "errors for one key", "failed requests had item = 1", {"failing_id": "1"},
        words=("--duration", "5s"),
    )  # fmt: skip
    found = drive("ajutai", plant)
    assert found.right(plant), found


def test_the_cron_job_gives_words_that_the_command_takes() -> None:
    path = project_root() / "deploy" / "fleet" / "cronjob.yaml"
    documents = yaml.load_all(path.read_text(), yaml.CSafeLoader)
    job = next(each for each in documents if each["kind"] == "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    template = job["spec"]["jobTemplate"]["spec"]
    (container,) = template["template"]["spec"]["containers"]
    name, *words = container["args"]
    assert name == "fleet"
    given = command.make_context(name, words).params
    assert (given["platform"], given["namespace"]) == ("kubernetes", "codai-staging")
    assert len(SERVICES) * given["budget_s"] <= template["activeDeadlineSeconds"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nobody"], "no service 'nobody'"),
        (["--tier", "users"], "no tier 'users'"),
        (["--resume", "hub"], "--resume goes on"),
        (["--resume"], "no fleet is left"),
        (["--namespace", "x"], "are of a cluster"),
        (["--budget", "0s"], "--budget"),
        (["--rate", "0"], "rate"),
        (["--duration", "0s"], "duration"),
        (["--profile", "none"], "no load profile 'none'"),
    ],
)
def test_a_bad_word_is_one_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["fleet", *words, "--results", str(tmp_path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert says in told[0]
