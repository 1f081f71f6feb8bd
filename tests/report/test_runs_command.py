"""`harness runs` and `harness show` on stored runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.runs import runs, show
from harness.errors import HarnessError
from harness.judge import judge
from harness.record import RunRecord
from harness.report.run_files import write_reports
from tests.record.synthetic import record


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    found = record(tmp_path_factory.mktemp("results"))
    write_reports(found, judge(found), found.directory)
    return found


def _root(found: RunRecord) -> str:
    return str(found.directory.parents[1])


def test_runs_lists_what_was_recorded(found: RunRecord) -> None:
    text = CliRunner().invoke(runs, ["--results", _root(found)]).output
    assert found.id in text
    assert "complete" in text
    assert "pass" in text


def test_runs_filters_by_service_and_speaks_json(found: RunRecord) -> None:
    result = CliRunner().invoke(runs, ["memorai", "--json", "--results", _root(found)])
    (row,) = json.loads(result.output)
    assert row["id"] == found.id
    assert row["outcome"] == "pass"
    assert "no run of logai" in CliRunner().invoke(
        runs, ["logai", "--results", _root(found)]
    ).output  # fmt: skip


def test_runs_in_a_place_without_any_says_how_to_make_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(runs, ["--results", str(tmp_path / "none")])
    assert result.exit_code == 0
    assert "make perf" in result.output


def test_runs_are_found_from_every_directory_of_the_project(
    found: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `harness perf` leaves them, not below wherever one happens to be."""
    (tmp_path / "services" / "below").mkdir(parents=True)
    (tmp_path / "services" / "a.yaml").write_text("apiVersion: harness.codai/v1\n")
    (tmp_path / "results").symlink_to(_root(found))
    monkeypatch.chdir(tmp_path / "services" / "below")
    assert found.id in CliRunner().invoke(runs, []).output


def test_runs_of_a_url_are_found_where_they_were_made_outside_of_any_project(
    found: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").symlink_to(_root(found), target_is_directory=True)
    monkeypatch.delenv("HARNESS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert found.id in CliRunner().invoke(runs).output
    assert found.id in CliRunner().invoke(show, ["latest"]).output


def test_show_prints_the_stored_verdict(found: RunRecord) -> None:
    result = CliRunner().invoke(show, ["--results", _root(found)])
    assert result.exit_code == 0
    assert "PASS" in result.output
    assert "GET recall" in result.output


def test_show_speaks_json_and_names_the_page(found: RunRecord) -> None:
    arguments = [found.id, "--results", _root(found)]
    as_json = CliRunner().invoke(show, [*arguments, "--json"])
    assert json.loads(as_json.output)["outcome"] == "pass"
    page = CliRunner().invoke(show, [*arguments, "--html"])
    assert Path(page.output.strip()) == (found.directory / "report.html").resolve()


def test_show_judges_a_run_that_has_no_verdict_yet(tmp_path: Path) -> None:
    fresh = record(tmp_path)
    result = CliRunner().invoke(show, [fresh.id, "--results", str(tmp_path)])
    assert "PASS" in result.output
    page = CliRunner().invoke(show, [fresh.id, "--results", str(tmp_path), "--html"])
    assert Path(page.stdout.strip()).is_file()


def test_show_of_an_unknown_run_is_one_clear_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(show, ["nosuch", "--results", str(tmp_path)])
    assert isinstance(result.exception, HarnessError)
    assert "harness runs" in str(result.exception)
