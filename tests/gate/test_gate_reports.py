"""What the gate's reports say, to people and to machines, whatever an endpoint is called."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.baseline import TOTAL, AcceptedRun
from harness.gate import GateVerdict, Policy, compare_runs
from harness.gate.model import EXIT_CODES, GateOutcome
from harness.gate.run import GateOptions, affordable, unjudged
from harness.report.gate import (
    REPORTS,
    clear_gate,
    cost,
    print_gate,
    summary,
    title,
    write_gate,
)
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.session.options import RunOptions
from tests.gate.made_runs import runs

NASTY = (
    "GET <script>alert(1)</script> | *x* `y` [z](http://evil.example) @team #1 ~~no~~ $a$ \\|"
    "\n\n# head\r\n\x07![i](x) www.evil.example &amp; _u_ " + "é" * 3
)


def named(made: list[AcceptedRun], name: str) -> list[AcceptedRun]:
    return [
        replace(
            run,
            endpoints={(name if k == "recall" else k): v for k, v in run.endpoints.items()},
        )
        for run in made
    ]


def suite_of(text: str) -> ET.Element:
    suite = ET.fromstring(text).find("testsuite")  # noqa: S314 - written by the project itself
    assert suite is not None
    return suite


def verdict_of(
    slow: float = 1.0, new: int = 3, name: str = "recall", sd: float = 0.01
) -> GateVerdict:
    after = runs(new, seed=2, slow={"recall": slow}, sd=sd)
    return compare_runs("memorai", "memorai", named(runs(6, sd=sd), name), named(after, name))


def test_no_text_of_an_endpoint_becomes_markup_in_the_comment() -> None:
    text = render_markdown(summary(verdict_of(2.0, name=NASTY)))
    assert NASTY not in text
    body = text.replace("<sub>", "").replace("</sub><br>", "")
    for sign in ("<", ">", "@", "://", "www.", "\x07", "\r"):
        assert sign not in body, sign
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in table} == {11}
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert len(heads) == 1
    for sign in "*`[]_~#!$":
        bare = text.replace(f"\\{sign}", "").split("### ❌ FAIL", 1)[1]
        assert sign not in bare.replace("&#", ""), sign


def test_the_terminal_shows_a_name_as_it_is() -> None:
    stream = io.StringIO()
    print_gate(verdict_of(2.0, name="[red]a[/red] [link=x]"), stream)
    assert "[red]a[/red]" in stream.getvalue()
    assert "detectable" in stream.getvalue()
    assert "primary" in stream.getvalue()


def test_what_is_suspected_stands_in_the_headline_and_in_junit() -> None:
    verdict = verdict_of(10.0, new=1)
    assert verdict.outcome == "inconclusive"
    assert "suspected: " in title(verdict)
    assert "of recall" in title(verdict)
    assert "suspected: " in render_markdown(summary(verdict)).splitlines()[0]
    suite = suite_of(render_junit(summary(verdict)))
    kinds = [case.find("error").get("type") for case in suite if case.find("error") is not None]  # type: ignore[union-attr]
    assert "suspected" in kinds
    assert int(suite.get("errors", "0")) == len(kinds)


@pytest.mark.parametrize("outcome", [each for each in EXIT_CODES if each != "pass"])
def test_junit_has_a_failure_or_an_error_wherever_the_exit_code_is_not_0(
    outcome: GateOutcome, tmp_path: Path
) -> None:
    whole = [
        unjudged(GateOptions(RunOptions("memorai")), outcome, "the reason"),
        replace(verdict_of(), outcome=outcome),
    ]
    for verdict in whole:
        write_gate(verdict, tmp_path)
        suite = suite_of((tmp_path / "gate.xml").read_text())
        assert int(suite.get("failures", "0")) + int(suite.get("errors", "0")) >= 1
        assert (tmp_path / "exit-code").read_text() == f"{EXIT_CODES[outcome]}\n"
        stream = io.StringIO()
        print_gate(verdict, stream)
        assert outcome.upper() in stream.getvalue()


def test_a_pass_has_no_failure_and_no_exit_code_file(tmp_path: Path) -> None:
    write_gate(verdict_of(), tmp_path)
    suite = suite_of((tmp_path / "gate.xml").read_text())
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert not (tmp_path / "exit-code").exists()


def test_reports_of_an_earlier_gate_are_removed(tmp_path: Path) -> None:
    for name in (*REPORTS, "self-test.md"):
        (tmp_path / name).write_text("old")
    clear_gate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["self-test.md"]
    clear_gate(tmp_path / "none")


def test_each_report_carries_runs_commits_time_and_conditions(tmp_path: Path) -> None:
    verdict = verdict_of()
    source = replace(
        verdict.provenance,
        created="2026-11-28T10:00:00+00:00",
        harness="0.1.0",
        conditions={"kernel": "Linux 6.1", "replay": None},
        ignored=("kernel: Linux 6.1 here, Linux 6.2 there",),
    )
    write_gate(replace(verdict, provenance=source), tmp_path)
    for name in ("gate.json", "gate.md", "gate.xml"):
        text = (tmp_path / name).read_text()
        for wanted in ("run-000", "0123456789abcdef", "2026-11-28T10:00:00", "Linux 6.1", "0.1.0"):
            assert wanted in text.replace("\\", ""), (name, wanted)
    body = json.loads((tmp_path / "gate.json").read_text())
    assert body["candidate_runs"] == ["run-000", "run-001", "run-002"]
    assert body["baseline_commits"] == ["0123456789abcdef"]


@pytest.mark.parametrize("seconds", [1.0, 10.0, 29.0, 61.0])
def test_the_budget_that_is_advised_buys_the_runs_that_are_advised(seconds: float) -> None:
    verdict = replace(
        verdict_of(10.0, new=1),
        seconds_a_run=seconds,
        runs_needed=2,
        minutes_needed=2 * seconds / 60,
    )
    text = cost(verdict) or ""
    minutes = int(text.partition("--time-budget ")[2].partition("m)")[0])
    assert minutes >= 1
    assert affordable(verdict, minutes) == 2


def test_what_nobody_would_pay_is_called_so() -> None:
    verdict = replace(verdict_of(10.0, new=1), runs_needed=None, minutes_needed=None)
    assert "cannot be settled" in (cost(verdict) or "")
    assert cost(verdict_of()) is None


def test_one_run_against_one_is_not_called_unaffordable() -> None:
    verdict = compare_runs("memorai", "memorai", runs(1), runs(1, seed=2, slow={TOTAL: 2.0}))
    text = cost(verdict) or ""
    assert "--runs 3" in text
    assert "affordable" not in text


def test_policy_and_tolerances_stand_in_the_json() -> None:
    body = json.loads(json.dumps(verdict_of().as_dict()))
    assert body["schema"] == 1
    assert body["policy"]["level"] == pytest.approx(Policy().level)
    (total,) = (r for r in body["rows"] if r["primary"])
    assert (total["endpoint"], total["tolerance"], total["role"]) == (TOTAL, 0.05, "gates")
