"""The harness is judged: every broken lab is flagged for the right reason, the sound one passes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from _pytest.mark import ParameterSet

from harness.catalog import project_root
from harness.gameday.model import GameDay, GameDayOptions
from harness.gameday.run import run_gameday
from harness.gameday.steady import wait_steady
from harness.platform.lab.mutants import MUTANTS
from harness.session.options import RunOptions
from tests.gameday.mutants import CASES, PROVEN, Case

EXPERIMENTS = project_root() / "experiments"
DOCUMENT = Path(__file__).parents[2] / "docs" / "gameday.md"


def hold(case: Case, root: Path) -> tuple[GameDay, dict[str, object]]:
    """A game day of one experiment, and the verdict in its record."""
    mutants = (case.mutant,) if case.mutant else ()
    changed = case.silent or case.after_s is not None
    experiment = changed_for(case, root) if changed else case.experiment
    options = GameDayOptions(
        RunOptions("memorai", results=root, rate=case.rate),
        experiments=(experiment,),
        mutants=mutants,
        baselines=root / "baselines",
        retries=2,  # a busy machine must not decide what a mutant is taken for
    )
    day, _ = run_gameday(options)
    run = day.entries[0].runs[-1]
    return day, json.loads((root / "memorai" / run / "experiment.json").read_text())


def changed_for(case: Case, root: Path) -> str:
    """A copy of an experiment with a program that fails in its method, or with a longer end."""
    text = (EXPERIMENTS / f"{case.experiment}.yaml").read_text(encoding="utf-8")
    document = yaml.load(text, yaml.CSafeLoader)
    if case.silent:
        provider = {"type": "process", "path": "false"}
        document["method"].insert(1, {"type": "action", "name": "fill", "provider": provider})
    if case.after_s is not None:
        document["extensions"][0]["timeline"]["after_s"] = case.after_s
    path = root / f"{case.experiment}.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


def parameter(case: Case, *marks: pytest.MarkDecorator) -> ParameterSet:
    alone = (pytest.mark.alone,) if case.timed else ()
    return pytest.param(case, id=case.id, marks=(*marks, *alone))


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [*map(parameter, CASES), *(parameter(case, pytest.mark.proof) for case in PROVEN)],
)
def test_a_lab_is_flagged_for_what_is_wrong_with_it(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = partial(wait_steady, timeout_s=case.steady_s)
    monkeypatch.setattr("harness.gameday.run.wait_steady", waits)
    day, verdict = hold(case, tmp_path)
    told = f"{day.outcome}: {day.entries[0].reasons}"
    assert day.outcome == case.outcome, told
    check = next(c for c in verdict["checks"] if c["name"] == case.check)  # type: ignore[attr-defined]
    assert check["outcome"] == case.outcome, (check, told)
    assert case.says in check["statement"], check


def test_every_mutant_of_the_lab_has_a_case() -> None:
    assert {case.mutant for case in (*CASES, *PROVEN)} == {None, *MUTANTS}


def test_the_document_shows_every_case() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for case in (*CASES, *PROVEN):
        row = f"| {case.name} | {case.experiment} | {case.outcome} |"
        assert row in text, row
        assert replace(case).check in text
