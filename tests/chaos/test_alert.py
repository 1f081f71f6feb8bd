"""An alert guards an experiment: who cannot be asked, or fires already, lets nothing begin."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.chaos import alert as alerting
from harness.chaos.alert import AlertGuard, alert_of, check_alert, guard_of
from harness.chaos.experiment import load_experiment
from harness.chaos.model import Experiment, Guards
from harness.chaos.plain import run_plain, why_stop
from harness.cli import run
from harness.errors import ExperimentError
from harness.events import ExperimentEvent
from harness.prometheus import PrometheusError
from harness.session.options import RunOptions
from tests.chaos.test_activities import ROOT, activity, document, process, wait_for
from tests.prometheus.fake import FakePrometheus, serving

NOWHERE = "http://127.0.0.1:9"
BURNS = 'ALERTS{alertname="Burns",alertstate="firing"}'


@pytest.fixture
def server() -> Iterator[FakePrometheus]:
    with serving() as fake:
        yield fake


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return load_experiment("kill-replica", ROOT)


def options(condition: str | None, url: str | None, **more: str) -> RunOptions:
    return RunOptions("memorai", stop_on_alert=condition, prometheus=url, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("condition", "query"), [("Burns", BURNS), ("sum(errors) > 3", "sum(errors) > 3")]
)
def test_a_name_is_an_alert_and_the_rest_an_expression(
    condition: str, query: str, server: FakePrometheus, experiment: Experiment
) -> None:
    guarded = replace(experiment, guards=Guards(alert=condition))
    for found in (alert_of(guarded, options(None, server.url)),
                  alert_of(experiment, options(condition, server.url))):  # fmt: skip
        assert found is not None
        assert not found.fires()
    server.answers = {query: 1}
    assert found is not None
    assert found.fires()
    assert server.queries() == [query] * 3


def test_an_alertmanager_is_asked_by_name(server: FakePrometheus, experiment: Experiment) -> None:
    found = alert_of(experiment, options("High errors", None, alertmanager=server.url))
    assert found is not None
    for labels, fires in (({"alertname": "High errors"}, True), ({"alertname": "Other"}, False)):
        server.body = json.dumps([{"labels": labels}])
        assert found.fires() is fires
    assert server.asked[0] == {"path": "/api/v2/alerts", "filter": 'alertname="High errors"'}
    server.body = "{}"
    server.status = 500
    with pytest.raises(PrometheusError, match=r"Alertmanager at .* refuses \(500\)"):
        found.fires()


@pytest.mark.parametrize(
    ("condition", "url", "said"),
    [
        ("Burns", None, "nobody is named who knows of 'Burns'; add --prometheus URL"),
        ("Burns", NOWHERE, "kill-replica: the alert Burns cannot guard it: Prometheus at"),
        ("", NOWHERE, "no alert is named that guards it"),
        (" ", NOWHERE, "no alert is named that guards it"),
    ],
)
def test_nothing_begins_without_a_guard_that_sees(
    condition: str, url: str | None, said: str, experiment: Experiment
) -> None:
    with pytest.raises(ExperimentError, match=said):
        check_alert(experiment, options(condition, url))


def test_nothing_begins_while_the_alert_fires_or_where_it_always_would(
    server: FakePrometheus, experiment: Experiment
) -> None:
    check_alert(experiment, options("Burns", server.url))
    server.answers = {"ALERTS": 1}
    with pytest.raises(ExperimentError, match="the alert Burns fires already"):
        check_alert(experiment, options("Burns", server.url))
    number = {"resultType": "scalar", "result": [1.0, "0"]}
    server.body = json.dumps({"status": "success", "data": number})
    with pytest.raises(ExperimentError, match="`2 > bool 3` is a number"):
        check_alert(experiment, options("2 > bool 3", server.url))


@pytest.mark.parametrize("body", ["{}", '""', "null", "[{}]", "<html>", '[{"labels": 1}]'])
def test_what_is_no_alertmanager_is_no_guard(
    body: str, server: FakePrometheus, experiment: Experiment
) -> None:
    server.body = body
    with pytest.raises(ExperimentError, match="is no Alertmanager"):
        check_alert(experiment, options("Burns", None, alertmanager=server.url))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"resultType": "vector", "result": None}, "is no Prometheus"),
        ({"resultType": "vector", "result": {}}, "is no Prometheus"),
        ({"resultType": "vector", "result": ""}, "is no Prometheus"),
        ({"result": []}, "is no Prometheus"),
        ({"resultType": "vector", "result": []}, "warns: .*a store is away"),
    ],
)
def test_an_answer_that_is_none_or_may_lack_something_is_no_guard(
    data: dict[str, object], said: str, server: FakePrometheus, experiment: Experiment
) -> None:
    body = {"status": "success", "data": data, "warnings": ["a store is away"]}
    server.body = json.dumps(body)
    with pytest.raises(ExperimentError, match=said):
        check_alert(experiment, options("Burns", server.url))


def test_the_command_refuses_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--stop-on-alert", "Burns", "--prometheus", NOWHERE)
    assert run(["experiment", "run", "kill-replica", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "the alert Burns cannot guard it" in line
    assert run(["experiment", "run", "kill-replica", "--alertmanager", NOWHERE]) == 2
    assert "no alert is named" in capsys.readouterr().err


def test_an_alert_that_fires_is_the_fault_s_doing_only_after_it(
    server: FakePrometheus, experiment: Experiment
) -> None:
    with guard_of(experiment, options("Burns", server.url)) as guard:
        assert guard.stop(injected=True) is None
        server.answers = {"ALERTS": 1}
        wait_for(lambda: guard.stop(injected=True) is not None)
        assert guard.stop(injected=True) == ("abort", "the alert Burns fired")
        assert guard.stop(injected=False) == (
            "halt", "halted before its fault, since the alert Burns fired"
        )  # fmt: skip
        asked = len(server.asked)
        server.answers = {}
        wait_for(lambda: len(server.asked) > asked)
        assert guard.stop(injected=True) is not None, "what has fired stays fired"


def test_an_alert_after_the_end_of_the_method_stops_nothing(
    server: FakePrometheus, experiment: Experiment
) -> None:
    """Nothing is in effect any more; who halts is heard all the same."""
    server.answers = {"ALERTS": 1}
    with guard_of(experiment, options("Burns", server.url)) as guard:
        wait_for(lambda: guard.stop(injected=True) is not None)
        begun: list[ExperimentEvent] = [{"type": "chaos_child", "what": "method"}]
        assert why_stop(lambda: None, guard, begun) == ("abort", "the alert Burns fired")
        ended: list[ExperimentEvent] = [*begun, {"type": "chaos_child", "what": "end"}]
        assert why_stop(lambda: None, guard, ended) is None
        assert why_stop(lambda: "ann at desk", guard, ended) == ("halt", "halted by ann at desk")


def test_a_guard_that_sees_nothing_any_more_halts_the_experiment(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    guard = AlertGuard(alert_of(experiment, options("Burns", NOWHERE)))
    monkeypatch.setattr(alerting, "time", SimpleNamespace(monotonic=lambda: now + 14.9))
    assert guard.stop(injected=True) is None
    monkeypatch.setattr(alerting, "time", SimpleNamespace(monotonic=lambda: now + 15.9))
    what, why = guard.stop(injected=True) or ("", "")
    assert what == "halt"
    assert why.startswith("halted, since the alert Burns could not be asked for in")
    assert AlertGuard(None).stop(injected=True) is None


def test_an_ordinary_file_is_ended_through_its_rollbacks_and_fails(
    tmp_path: Path, server: FakePrometheus
) -> None:
    there = tmp_path / "there"
    made = document(
        activity("begin", process("touch", str(there))),
        activity("wait", process("sleep", "50"), timeout=60),
        rollbacks=[activity("undo", process("rm", str(there)))],
    )
    file = tmp_path / "guarded.json"
    file.write_text(json.dumps(made))
    ordinary = load_experiment(str(file), ROOT)
    guard = guard_of(ordinary, options("Burns", server.url))

    def hear(message: ExperimentEvent) -> None:
        if message["type"] == "activity" and message["name"] == "wait":
            server.answers = {"ALERTS": 1}

    verdict, _ = run_plain(ordinary, tmp_path / "results", hear, guard)
    assert (verdict.exit_code, verdict.reasons) == (
        1,
        ("Aborted: the alert Burns fired; its rollbacks have run.",),
    )
    assert not there.exists()
