"""Options of connections, from the words to the target, the record's conditions and the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness import api
from harness.baseline.measure import conditions
from harness.cli.perf import command
from harness.errors import PlatformError, UsageError
from harness.load.plan import LoadPlan, check_target
from harness.platform.connection import OPTIONS, USUAL, describe
from harness.platform.model import Target
from harness.project import find_project, usual_options
from harness.session.options import RunOptions
from harness.session.place import make_named_platform
from harness.traffic.model import Journey, LoadProfile, Segment, TrafficModel
from tests.record import synthetic

URL = "https://localhost/a"


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """What `perf` makes of its words: the fields of the target, or the error."""
    monkeypatch.chdir(tmp_path)
    asked: list[RunOptions] = []

    def session(options: RunOptions, say: object) -> Any:
        asked.append(options)
        raise InterruptedError

    monkeypatch.setattr(api, "session", session)

    def perf(*words: str) -> Any:
        result = CliRunner().invoke(command, [URL, *words])
        if not asked and result.exception is not None:
            raise result.exception
        return asked.pop().connect

    return perf


def test_each_option_is_a_field_of_the_target(ask: Callable[..., Any], tmp_path: Path) -> None:
    """Files by their full path; the key is in the certificate's file unless it is named."""
    assert ask() == {}
    words = ["--http2", "--insecure", "--cacert", "ca.pem", "--cert", "me.pem", "--new-connections"]
    assert ask(*words, "--connection-max-age", "30s") == {
        "http2": True,
        "verify": False,
        "ca_file": str(tmp_path / "ca.pem"),
        "cert_file": str(tmp_path / "me.pem"),
        "max_age_s": 30.0,
        "max_requests": 1,
    }
    found = ask(
        "--resolve", "a:1:::1", "--resolve", "b:1:1.1.1.1", "--connection-max-requests", "9"
    )
    assert found == {"resolve": ("a:1:::1", "b:1:1.1.1.1"), "max_requests": 9}
    assert ask("--unix-socket", "s", "--proxy", "http://p") == {
        "unix_socket": str(tmp_path / "s"),
        "proxy": "http://p",
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--key k.pem", "--key without --cert"),
        ("--new-connections --connection-max-requests 2", "keep one of them"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    ask: Callable[..., Any], words: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        ask(*words.split())


def test_harness_yaml_holds_them_with_paths_beside_it(
    ask: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list or a text of several; variables override it, but HTTP_PROXY is none of ours."""
    (tmp_path / "harness.yaml").write_text(
        f"url: {URL}\nhttp2: true\ncacert: tls/ca.pem\nresolve: ['a:1:::1', 'b:2:::1']\n"
        "connection_max_requests: 5\n"
    )
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    monkeypatch.setenv("HTTP_PROXY", "http://nobody")
    wanted = {
        "http2": True,
        "ca_file": str(tmp_path / "tls" / "ca.pem"),
        "resolve": ("a:1:::1", "b:2:::1"),
        "max_requests": 5,
    }
    assert ask() == wanted
    monkeypatch.setenv("HARNESS_RESOLVE", "c:3:::1 d:4:::1")
    assert ask()["resolve"] == ("c:3:::1", "d:4:::1")
    assert usual_options(find_project())["max_requests"] == "5"


@pytest.mark.parametrize(
    ("connect", "target", "says"),
    [
        ({"ca_file": "/ca"}, None, "--cacert is for a URL, not for the lab"),
        ({"proxy": "http://p"}, None, "--proxy is for a URL"),
        ({"verify": False}, "http://127.0.0.1:1", "--insecure is for https"),
    ],
)
def test_an_option_that_would_mean_nothing_is_refused(
    connect: dict[str, Any], target: str | None, says: str
) -> None:
    options = RunOptions("memorai", target=target, connect=connect)
    with pytest.raises(UsageError, match=says):
        make_named_platform(options, synthetic.service(), print)


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - {"verify", "ca_file"}))
def test_python_clients_refuse_by_name_what_only_the_engine_does(name: str) -> None:
    """Journeys and locustfiles; a mix takes all of it."""
    asked: dict[str, Any] = {name: ("x",)}
    target = replace(Target("x", (URL,), "service", "here"), **asked)
    traffic = TrafficModel("x", "s", "s.py", ())
    check_target(target, traffic)
    with pytest.raises(PlatformError, match=f"asks for {OPTIONS[name]}, which Python's clients"):
        check_target(target, replace(traffic, journeys=(Journey("j", "j"),)))


def _conditions(target: Target) -> Any:
    profile = LoadProfile("p", (Segment("hold", 1.0, 1.0, 1.0),))
    plan = LoadPlan(target, TrafficModel("x", "s", "s.py", ()), profile)
    return conditions(plan, {})


@pytest.mark.parametrize(
    ("connect", "says"),
    [
        ({}, USUAL),
        ({"ca_file": "/ca"}, USUAL),
        ({"http2": True}, "HTTP/2"),
        ({"verify": False}, "HTTP/1.1, TLS certificate not verified"),
        ({"cert_file": "/c"}, "HTTP/1.1, client certificate"),
        ({"resolve": ("a:1:::1",)}, "HTTP/1.1, addresses a:1:::1"),
        ({"unix_socket": "/s"}, "HTTP/1.1, unix socket /s"),
        ({"proxy": "http://u:secret-one@p"}, "HTTP/1.1, proxy http://[redacted]@p"),
        ({"max_requests": 1}, "HTTP/1.1, a new connection for each request"),
        ({"max_requests": 9}, "HTTP/1.1, at most 9 requests a connection"),
        ({"max_age_s": 1.5}, "HTTP/1.1, connections for at most 1.5 s"),
    ],
)
def test_runs_whose_connections_were_made_differently_cannot_be_compared(
    connect: dict[str, Any], says: str
) -> None:
    """A condition of the gate; baselines of old were all made in the usual way."""
    usual = Target("x", (URL,), "service", "here")
    target = replace(usual, **connect)
    here, there = _conditions(target), _conditions(usual)
    assert here.connection == says
    assert bool(here.differences(there)) is (says != USUAL)
    assert "secret" not in json.dumps(describe(target)) or "proxy" in connect
