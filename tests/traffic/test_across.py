"""Journeys across services: declared, told where the others are, with figures for each hop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.catalog.load import project_root
from harness.cli import run as cli
from harness.errors import ScenarioError
from harness.traffic import get, journey, url_of
from harness.traffic.build import model_of
from harness.traffic.declared import Declared
from harness.traffic.scenario import URLS_VARIABLE, load_model, scenario_environment

ROOT = project_root()


class Walker(Declared):
    """One that walks to two others."""

    service = "logai"
    across = ("memorai", "wallet")

    @journey()
    def walk(self) -> None:
        """Somewhere."""


def test_a_class_says_which_other_services_its_journeys_ask() -> None:
    assert model_of(Walker).across == ("memorai", "wallet")
    service = load_catalog(ROOT / "services").service("logai")
    assert load_model(service, "across", ROOT).across == ("memorai", "wallet")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"across": "memorai"}, "across is 'memorai'"),
        ({"across": (1,)}, "across is"),
        ({"across": ("memorai",), "walk": None, "mix": [get("/")]}, "across without a @journey"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        model_of(type("Odd", (Walker,), fields))


def test_a_journey_is_told_where_the_others_are_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = load_catalog(ROOT / "services").service("logai")
    told = scenario_environment(service, {"memorai": "http://m:1"})[URLS_VARIABLE]
    monkeypatch.setenv(URLS_VARIABLE, told)
    assert url_of("memorai") == "http://m:1"
    with pytest.raises(ScenarioError, match="not known"):
        url_of("wallet")


def test_a_place_where_the_others_are_not_known_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["perf", "http://127.0.0.1:1/", "--scenario", str(ROOT / "scenarios" / "across.py")]
    assert cli([*words, "--quiet"]) == 2
    assert "asks memorai, wallet as well; name an --environment" in capsys.readouterr().err


@pytest.mark.lab
def test_each_hop_of_a_journey_across_the_lab_has_figures(tmp_path: Path) -> None:
    words = ["perf", "logai", "--scenario", "across", "--profile", "constant", "--rate", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words, "--duration", "2s", "--quiet", "--json",
         "--results", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert json.loads(done.stdout)["service"] == "logai", done.stderr
    (path,) = tmp_path.rglob("slices.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    hops = {row["endpoint"]: 0 for row in rows}
    for row in rows:
        hops[row["endpoint"]] += row["completed"] * (row["axis"] == "due")
    names = ("logai: log in", "memorai: remember", "wallet: pay", "wallet: receipt")
    assert [hops[name] for name in names] == [10, 10, 10, 10]
