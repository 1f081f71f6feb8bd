"""Each format is written in one place, whatever was judged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.cli.output import print_json
from harness.judge.model import Judged, ResultWord
from harness.report.junit import render_junit
from harness.report.markdown import escape, render_markdown
from harness.report.summary import Summary, Table
from harness.storage import read_object, write_json


def suite_of(summary: Summary) -> ET.Element:
    return ET.fromstring(render_junit(summary))[0]  # noqa: S314 - our own


@pytest.mark.parametrize("outcome", ["fail", "inconclusive", "invalid", "error", "no-baseline"])
def test_no_junit_of_a_verdict_that_is_no_pass_is_green(outcome: str) -> None:
    skipped = Judged("p95", None, "too few requests")
    suite = suite_of(Summary("memorai perf", "memorai", "t", outcome, ("why",), (skipped,)))
    assert int(suite.attrib["failures"]) + int(suite.attrib["errors"]) == 1
    assert (suite.attrib["failures"] == "1") == (outcome == "fail")


@pytest.mark.parametrize("outcome", ["fail", "inconclusive", "invalid"])
def test_what_does_not_decide_spoils_no_suite(outcome: ResultWord) -> None:
    shown = Judged("recall", outcome, "slower", decides=False)
    suite = suite_of(Summary("memorai gate", "memorai", "t", "pass", judged=(shown,)))
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
    assert suite[0].findtext("system-out") == f"{outcome}: slower"


def test_markdown_shows_names_as_they_are_and_folds_what_is_long() -> None:
    assert escape("a|b #1 <x>") == "a&#124;b \\#1 &#60;x&#62;"
    table = Table(("endpoint", "p95"), (("a|b", "1 s"),), folded="Endpoints")
    text = render_markdown(Summary("s", "s", "title", "pass", tables=(table,)))
    assert "<details><summary>Endpoints</summary>" in text
    assert "| a&#124;b | 1 s |" in text


def test_json_for_machines_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"recovery": math.inf, "rows": [math.nan, 1.5]})
    assert json.loads(capsys.readouterr().out) == {"recovery": None, "rows": [None, 1.5]}


def test_an_argument_that_is_not_utf_8_is_stored_and_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"command": ["\udcff", "ü"], "path": Path("/x")})
    assert read_object(tmp_path / "run.json") == {"command": ["\udcff", "ü"], "path": "/x"}
