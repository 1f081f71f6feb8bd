"""Every form of the report: complete, escaped, self-contained, the same each time."""

from __future__ import annotations

import io
import json
import re
import shutil
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from harness.catalog.model import Objective
from harness.errors import RecordError
from harness.judge import Verdict, judge
from harness.record import RunRecord, RunWriter
from harness.report import figures
from harness.report.chains import chains_table
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.run import beside, print_report, summary
from harness.report.run_files import write_reports
from harness.report.run_html import render_html
from harness.traffic.model import Chain, Request
from tests.record.synthetic import Made, histogram, plan, record, service


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    made = Made(
        median_s=0.04,
        lag_s=0.0001,
        slow=lambda second: 8.0 if 17 <= second < 20 else 1.0,
        failures=lambda s, e, n: {"timeout": 3, "status_5xx": 1} if 17 <= s < 20 else {},
        unfinished=2,
    )
    return record(tmp_path_factory.mktemp("results"), made)


@pytest.fixture(scope="module")
def verdict(found: RunRecord) -> Verdict:
    return judge(found)


def _terminal(found: RunRecord, verdict: Verdict, *, width: int = 120) -> str:
    stream = io.StringIO()
    print_report(found, verdict, stream, width=width)
    return stream.getvalue()


def test_requests_that_were_sent_again_are_a_line_of_the_reports(
    found: RunRecord, verdict: Verdict, tmp_path: Path
) -> None:
    """Over HTTP/2, where a connection went away before the server read them."""
    assert "sent again" not in _terminal(found, verdict)
    copy = Path(shutil.copytree(found.directory, tmp_path / "run"))
    rows = [json.loads(line) for line in (copy / "slices.jsonl").read_text().splitlines()]
    for row in [row for row in rows if row["axis"] == "due"][:2]:
        row["retried"] = 6
    (copy / "slices.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    again = RunRecord.load(copy)
    assert "12 sent again: connection going away" in _terminal(again, verdict)
    assert "12 sent again: connection going away" in render_html(again, verdict)


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(tag)
        for name, text in attrs:
            if name == "id":
                self.ids.append(text or "")
            if name in {"src", "href", "xlink:href"} and not (text or "").startswith("#"):
                self.fetched.append(text or "")


def test_all_files_are_written(found: RunRecord, verdict: Verdict, tmp_path: Path) -> None:
    write_reports(found, verdict, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"verdict.json", "report.html", "junit.xml", "summary.md"}


def test_a_run_without_one_answer_draws_no_latency_and_no_warning(tmp_path: Path) -> None:
    """A warning of the plotting library would stand on the user's terminal."""
    nothing = record(tmp_path, Made(failures=lambda s, e, n: {"status_5xx": n}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = render_html(nothing, judge(nothing))
    assert "No request was answered well" in page


def test_a_directory_that_takes_no_files_is_one_line(
    found: RunRecord, verdict: Verdict, tmp_path: Path
) -> None:
    with pytest.raises(RecordError, match="cannot write"):
        write_reports(found, verdict, tmp_path / "not" / "there")


def test_the_page_fetches_nothing_runs_nothing_and_is_small(
    found: RunRecord, verdict: Verdict
) -> None:
    page = render_html(found, verdict)
    outline = _Outline()
    outline.feed(page)
    assert outline.fetched == []
    assert "script" not in outline.tags
    assert outline.tags.count("svg") == 4
    assert outline.headings[0] == "h1"
    assert outline.headings.count("h1") == 1
    assert len(outline.ids) == len(set(outline.ids))
    assert len(page) < 1_000_000


def test_the_page_escapes_what_the_service_says(found: RunRecord, verdict: Verdict) -> None:
    page = render_html(found, verdict)
    assert "POST &lt;store&gt;" in page
    assert "<store>" not in page
    assert "<fast>" not in page


def test_the_page_is_the_same_each_time(found: RunRecord, verdict: Verdict) -> None:
    assert render_html(found, verdict) == render_html(found, verdict)


def test_colours_follow_the_theme_of_the_reader(found: RunRecord, verdict: Verdict) -> None:
    page = render_html(found, verdict)
    assert "prefers-color-scheme: dark" in page
    assert 'stroke="var(--series-1)"' in page


def test_the_page_shows_verdict_phases_errors_and_validity(
    found: RunRecord, verdict: Verdict
) -> None:
    page = render_html(found, verdict)
    for text in ("FAIL", "hold 7–27 s", "status_5xx", "control probe", "Some CPU", "seed"):  # noqa: RUF001
        assert text in page
    for result in verdict.objectives:
        assert result.objective.name in page


def test_a_run_that_measured_nothing_has_a_report_all_the_same(tmp_path: Path) -> None:
    empty = record(tmp_path, Made(stop_at=0, end=None))
    verdict = judge(empty)
    write_reports(empty, verdict, empty.directory)
    assert "INVALID" in (empty.directory / "report.html").read_text()
    assert "INVALID" in _terminal(empty, verdict)


def test_a_run_cut_short_before_its_hold_has_a_report_too(tmp_path: Path) -> None:
    cut = record(tmp_path, Made(stop_at=5, end=None))
    write_reports(cut, judge(cut), cut.directory)
    assert "warmup" in (cut.directory / "report.html").read_text()


def test_a_closed_run_is_labelled_as_closed(found: RunRecord, verdict: Verdict) -> None:
    closed = replace(found, plan=plan(users=8))
    assert "closed loop, 8 users" in render_html(closed, verdict)
    assert "closed loop, 8 users" in _terminal(closed, verdict)
    assert "closed model: latency from the actual start" in _terminal(closed, verdict)
    assert "closed model: latency from the actual start" in render_html(closed, verdict)


def test_the_terminal_shows_the_whole_answer(found: RunRecord, verdict: Verdict) -> None:
    text = _terminal(found, verdict)
    for piece in (
        "FAIL", "p95", "95 % interval", "GET recall", "POST <store>", "all endpoints", "p99.9",
        "offered =", "timeout 18", "unfinished 2", "12 of 12 checks hold", str(found.directory),
    ):  # fmt: skip
        assert piece in text
    assert "\x1b" not in text


def test_the_terminal_obeys_no_color(
    found: RunRecord, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()
    print_report(found, verdict, coloured, width=120)
    assert "\x1b[1;7;31m FAIL" in coloured.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    print_report(found, verdict, plain, width=120)
    assert "31m" not in plain.getvalue()


def test_a_narrow_terminal_breaks_no_word(found: RunRecord, verdict: Verdict) -> None:
    lines = _terminal(found, verdict, width=80).splitlines()
    assert max(len(line) for line in lines if str(found.directory) not in line) <= 80
    (heading,) = (line for line in lines if line.startswith("endpoint (hold)"))
    assert heading.split() == ["endpoint", "(hold)", "offered", "failed", "p50", "p95", "p99",
                               "lag", "p99"]  # fmt: skip
    assert any(line.startswith("all endpoints") for line in lines)


def test_a_run_on_the_lab_says_that_it_judged_a_stand_in(tmp_path: Path) -> None:
    made = record(tmp_path)
    made.meta["environment"]["platform"] = "lab"
    assert "memorai (lab stand-in) · perf" in _terminal(made, judge(made))


def test_an_invalid_run_tells_the_remedy(tmp_path: Path) -> None:
    spoilt = record(tmp_path, Made(median_s=0.02, lag_s=0.04, cpu=0.99))
    text = _terminal(spoilt, judge(spoilt))
    assert "INVALID" in text
    assert "add --workers or lower the rate" in text


def test_junit_has_a_case_for_each_objective_and_check(found: RunRecord, verdict: Verdict) -> None:
    suite = ET.fromstring(render_junit(summary(found, verdict))).find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert int(suite.attrib["tests"]) == len(verdict.objectives) + len(verdict.validity)
    assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
    failed = [case.attrib["name"] for case in suite if case.find("failure") is not None]
    assert failed == [r.objective.name for r in verdict.objectives if r.outcome == "fail"]
    assert int(suite.attrib["failures"]) == len(failed) > 0


def test_junit_stays_xml_whatever_the_text(found: RunRecord, verdict: Verdict) -> None:
    nasty = replace(verdict.objectives[0], outcome="fail", statement='\x00\x1b]]> <&"\ud800')
    text = render_junit(summary(found, replace(verdict, objectives=(nasty,))))
    ET.fromstring(text.encode())  # noqa: S314 - our own


def test_markdown_is_a_comment_with_tables(found: RunRecord, verdict: Verdict) -> None:
    text = render_markdown(summary(found, verdict))
    assert text.startswith("### ❌ FAIL: memorai")
    assert "POST &#60;store&#62;" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(verdict.objectives) + 2 + len(found.endpoints) + 1


def test_the_json_has_stable_keys(found: RunRecord, verdict: Verdict, tmp_path: Path) -> None:
    write_reports(found, verdict, tmp_path)
    stored = json.loads((tmp_path / "verdict.json").read_text())
    assert list(stored) == [
        "schema", "exit_code", "run", "service", "outcome", "reasons", "objectives", "validity",
        "hold", "confidence", "stages",
    ]  # fmt: skip
    assert set(stored["objectives"][0]) == {
        "objective", "estimate", "low", "high", "outcome", "statement", "method", "scope",
    }  # fmt: skip
    assert set(stored["validity"][0]) == {
        "name", "ok", "measured", "limit", "reason", "remedy", "costs", "figures",
    }  # fmt: skip


def test_a_dollar_sign_in_a_name_is_no_formula(tmp_path: Path) -> None:
    """Matplotlib would take what stands between two of them for mathematics."""
    odd = replace(service(), objectives=(Objective("p95 of $x_$", "latency", 0.1, 0.95),))
    found = record(tmp_path, of=odd)
    write_reports(found, judge(found), found.directory)
    assert "$x_$" in (found.directory / "report.html").read_text()


def _row(axis: str, endpoint: str, **counts: Any) -> Any:
    usual = {"offered": 0, "completed": 0, "failed": 0, "unfinished": 0, "errors": {},
             "bytes_in": 0, "bytes_out": 0, "connects": 0, "hist": {}}  # fmt: skip
    row = {"schema": 1, "axis": axis, "second": 10, "endpoint": endpoint, **usual, **counts}
    return {"type": "slice", "worker": 0, "seq": 0, "slice": row}


def test_a_chain_is_a_row_of_its_own_and_no_request(tmp_path: Path) -> None:
    """Its endpoints stay what they are, and so do the totals."""
    chain = Chain("buy", (Request("buy: GET /", "GET", "/"),))
    usual = plan()
    usual = replace(usual, traffic=replace(usual.traffic, chains=(chain,)))
    writer = RunWriter.create(tmp_path, service(), usual, {})
    writer.message(_row("due", "buy: GET /", offered=5, completed=5))
    took = histogram(np.full(3, 0.2))
    writer.message(_row("chain", "buy", offered=5, completed=3, failed=1, hist={"response": took}))
    made = writer.finish("complete")
    assert made.endpoints == ("buy: GET /",)
    assert figures.conservation(made).startswith("5 offered = 5 completed")
    table = chains_table(made)
    assert table is not None
    assert table.rows == (("buy", "5", "3", "1", *["200 ms"] * 4),)
    assert table in summary(made, judge(made)).tables
    assert beside(made)["chains"] == {
        "buy": {
            "begun": 5, "completed": 3, "failed": 1,
            "response_s": dict.fromkeys(("p50", "p95", "p99", "p99.9"), pytest.approx(0.2, 0.01)),
        }
    }  # fmt: skip
    none = record(tmp_path / "none")
    assert chains_table(none) is None
    assert beside(none)["chains"] is None


@pytest.mark.parametrize(("names", "said"), [(200, False), (201, True)])
def test_names_that_clients_gave_are_told_where_they_are_many(
    tmp_path: Path, names: int, *, said: bool
) -> None:
    """Those that the scenario declares are no clients' names."""
    writer = RunWriter.create(tmp_path, service(), plan(), {})
    for number in range(names):
        writer.message(_row("due", f"/orders/{number}", offered=1, completed=1))
    writer.message(_row("due", "GET recall", offered=1, completed=1))
    made = writer.finish("complete")
    lines = dict(summary(made, judge(made)).lines)
    assert ("endpoints" in lines) is said
    if said:
        assert lines["endpoints"].startswith("201 names")
