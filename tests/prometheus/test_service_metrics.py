"""Service metrics: asked after a run, shown beside it, no part of its verdict."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness._engine import NullServer
from harness.chaos.probes import prometheus as probe
from harness.cli import run
from harness.errors import ExperimentError, RecordError, UsageError
from harness.judge import judge
from harness.prometheus import (
    FILE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    Prometheus,
    PrometheusError,
    asked,
    keep,
    kept,
)
from harness.record import RunRecord
from harness.report.run import print_report
from harness.report.run_html import render_html
from harness.report.service_metrics import service_metrics
from tests.prometheus.fake import FakePrometheus, serving
from tests.record.synthetic import Made, record

SOUND: dict[str, float | str] = {
    "error_ratio": 0,
    "vector(0)": 0.002,
    "quantile(0.5,": 0.008,
    "quantile(0.95,": 0.04,
    "quantile(0.99,": 0.09,
    "restarts_total": 3,
    "cpu_usage": 1.5,
    'http_requests_total{service="memorai"}': 190.0,
}
START = 1_795_485_600.0


@pytest.fixture
def fake() -> Iterator[FakePrometheus]:
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return record(tmp_path_factory.mktemp("results"), Made())


def at(url: str) -> Prometheus:
    """The server that `--prometheus URL` names."""
    found = Prometheus.at(url)
    assert found is not None
    return found


def in_namespace(found: RunRecord, name: str) -> RunRecord:
    """The run as one on a cluster."""
    target = {"target": {"namespace": name}}
    return replace(found, meta={**found.meta, "environment": {**found.environment, **target}})


def test_every_figure_is_asked_for_the_runs_own_time(fake: FakePrometheus, made: RunRecord) -> None:
    """Seven series of one second's step, counted from the start of the load."""
    fake.answers = SOUND
    found = asked(at(fake.url), made, START)
    assert set(found["series"]) == {
        *("request_rate", "error_ratio", "p50", "p95", "p99", "restarts", "cpu")
    }
    assert found["notes"] == []
    length = made.plan.profile.duration_s
    for each in fake.asked:
        assert (float(each["start"]), float(each["end"])) == (START, START + length)
        assert each["step"] == "1"
    points = found["series"]["p95"]["points"]
    assert points[0] == (0.0, 0.04)
    assert len(points) == length + 1


@pytest.mark.parametrize("label", ['app="memorai"', 'job=~"(.+/)?memorai"', 'pod=~"memorai-'])
def test_a_service_labelled_by_another_convention_is_found(
    fake: FakePrometheus, made: RunRecord, label: str
) -> None:
    fake.answers = {label: 10.0}
    found = asked(at(fake.url), made, START)
    assert label in found["series"]["request_rate"]["query"]
    assert label in found["series"]["p99"]["query"]


def test_scrapes_that_are_far_apart_are_seen_through_a_longer_window(
    fake: FakePrometheus, made: RunRecord
) -> None:
    fake.answers = {"[60s]": 10.0}
    found = asked(at(fake.url), made, START)
    assert found["window_s"] == 60
    assert found["series"]["request_rate"]["points"]


def test_a_run_in_a_namespace_never_counts_another_namespaces_series(
    fake: FakePrometheus, made: RunRecord
) -> None:
    """Production has a service of the same name."""
    asked(at(fake.url), in_namespace(made, "codai-staging"), START)
    assert fake.queries()
    assert all('namespace=~"codai-staging|"' in query for query in fake.queries())


def test_numbers_that_are_none_are_left_out(fake: FakePrometheus, made: RunRecord) -> None:
    """A quantile of nothing is NaN."""
    fake.answers = {**SOUND, "quantile(0.5,": "NaN", "quantile(0.95,": "+Inf"}
    found = asked(at(fake.url), made, START)
    assert not {"p50", "p95"} & set(found["series"])
    assert found["notes"] == ["Prometheus has nothing of memorai for: p50, p95"]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, "", f"refuses (401): check {TOKEN_VARIABLE}"),
        (
            400,
            '{"status":"error","errorType":"bad_data","error":"parse\\nerror: Bearer abcdef123"}',
            "refuses the query (400): parse error: Bearer [redacted]",
        ),
        (200, "<html>hello</html>", "(200) is no Prometheus"),
        (200, '{"status":"success","data":[]}', "(200) is no Prometheus"),
        (302, "", "(302) is no Prometheus"),
        (
            200,
            '{"status":"success","data":{"result":[]}}',
            "Prometheus has no http_requests_total of memorai for this run",
        ),
    ],
)
def test_what_goes_wrong_with_it_is_a_note_of_one_line(
    fake: FakePrometheus, made: RunRecord, status: int, body: str, says: str
) -> None:
    fake.status, fake.body = status, body
    found = asked(at(fake.url), made, START)
    assert found["series"] == {}
    assert says in found["notes"][0]
    assert not any("\n" in note for note in found["notes"])


def test_one_that_is_not_there_is_asked_once(made: RunRecord) -> None:
    (note,) = asked(at("http://127.0.0.1:9"), made, START)["notes"]
    assert "Prometheus at http://127.0.0.1:9 does not answer" in note


@pytest.mark.parametrize(("url", "checked"), [("https://h", True), ("http://h", False)])
def test_the_certificate_of_a_server_is_checked_where_it_has_one(
    monkeypatch: pytest.MonkeyPatch, made: RunRecord, url: str, *, checked: bool
) -> None:
    seen: list[Any] = []

    def stream(*_: object, verify: Any, **__: object) -> None:
        seen.append(verify)
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx, "stream", stream)
    assert "does not answer" in asked(at(url), made, START)["notes"][0]
    modes = [each.verify_mode if each else None for each in seen]
    assert modes == [ssl.CERT_REQUIRED if checked else None]


def test_the_token_goes_out_and_is_in_no_file(
    fake: FakePrometheus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are the credentials of the URL, which it replaces."""
    monkeypatch.setenv(TOKEN_VARIABLE, "t0psecret\n")
    server = at(fake.url.replace("http://", "http://someone:hunter2@"))
    found = record(tmp_path, Made())
    keep(server, found)
    assert set(fake.authorizations) == {"Bearer t0psecret"}
    text = "".join(path.read_text() for path in found.directory.iterdir()) + repr(server)
    assert "t0psecret" not in text
    assert "someone" not in text
    assert "hunter2@127.0.0.1" not in text


def test_credentials_of_the_url_are_used_where_there_is_no_token(
    fake: FakePrometheus, made: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    server = at(fake.url.replace("http://", "http://someone:p%40ss@"))
    asked(server, made, START)
    assert set(fake.authorizations) == {"Basic c29tZW9uZTpwQHNz"}


@pytest.mark.parametrize(
    "url", ["prometheus:9090", "u:hunter2@h", "http://", "http://h:x", "http://h?a=1"]
)
def test_what_is_no_url_is_one_line_before_anything_starts(
    url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--prometheus"):
        Prometheus.at(url)
    code = run(["perf", "memorai", "--prometheus", url, "--results", str(tmp_path)])
    error = capsys.readouterr().err
    assert code == 2
    assert "--prometheus" in error
    assert "hunter2" not in error
    assert not list(tmp_path.iterdir())


def test_it_is_shown_beside_the_harness_own_figures_and_judges_nothing(
    fake: FakePrometheus, tmp_path: Path
) -> None:
    """On the page and at the terminal; the verdict is the same as without it."""
    fake.answers = {**SOUND, "vector(0)": 0.9}
    found = record(tmp_path, Made())
    before = judge(found)
    keep(at(fake.url), found)
    assert judge(found).as_dict() == before.as_dict()
    told = service_metrics(found)
    assert told is not None
    rows = {row.name: row for row in told.rows}
    assert rows["p95 latency"].own == 0.04
    assert rows["answered requests"].own == 190
    assert rows["answered requests"].measured == pytest.approx(200)
    assert rows["error ratio"].own == pytest.approx(0.9)
    assert (rows["CPU, all pods"].own, rows["restarts in the run"].own) == (1.5, 0)
    stream = io.StringIO()
    print_report(found, before, stream)
    for text in (stream.getvalue(), render_html(found, before)):
        assert "service metrics" in text
        assert "1.50 cores" in text


def test_without_it_nothing_is_shown(made: RunRecord) -> None:
    assert kept(made) is None
    assert "Service metrics" not in render_html(made, judge(made))


def test_a_damaged_answer_is_told_with_its_file(tmp_path: Path) -> None:
    found = record(tmp_path, Made())
    (found.directory / FILE).write_text('{"schema": 1, "series": []}')
    with pytest.raises(RecordError, match=FILE):
        service_metrics(found)


@pytest.fixture
def null_server() -> Iterator[str]:
    server = NullServer()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


def test_a_performance_run_keeps_its_exit_code_whatever_prometheus_says(
    null_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not there: a note in the record, nothing else."""
    words = ("--profile", "poisson", "--rate", "20", "--duration", "2s", "--quiet", "--json")
    where = ("--target", null_server, "--results", str(tmp_path))
    code = run(["perf", "memorai", *words, *where, "--prometheus", "http://u:pw@127.0.0.1:9"])
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == shown["exit_code"]
    assert "does not answer" in shown["prometheus"]["notes"][0]
    (directory,) = (tmp_path / "memorai").iterdir()
    assert all("u:pw@" not in path.read_text() for path in directory.iterdir())


def test_an_experiments_steady_state_may_ask_it(
    fake: FakePrometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One number; without a server or without a number the steady state is not met."""
    fake.answers = {"up": 4.0}
    monkeypatch.setenv(URL_VARIABLE, fake.url)
    assert probe("sum(up)") == 4.0
    with pytest.raises(PrometheusError, match="no single number"):
        probe("nothing")
    monkeypatch.setenv(URL_VARIABLE, "")
    with pytest.raises(ExperimentError, match="--prometheus"):
        probe("sum(up)")
