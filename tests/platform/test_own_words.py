"""What is said of a program of one's own: read, checked, and named where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from harness.cli import run
from harness.cli.lab import chosen
from harness.errors import HarnessError
from harness.judge.concentration import printed_last
from harness.platform.lab.options import LabOptions
from harness.platform.lab.units import KEPT_LOG, MOST_LOG, cut_log
from harness.platform.program import last_lines
from harness.record.run import RunRecord
from harness.session.own import find_own, parse_lab


def test_a_lab_of_harness_yaml_is_a_program_with_its_shape(tmp_path: Path) -> None:
    words = {"command": "node server.js", "ready": "/up", "stop_within": "3s", "replicas": 3}
    program, shape = parse_lab(words, "My Shop", tmp_path)
    assert (program.name, program.ready, program.stop_within_s) == ("my-shop", "/up", 3.0)
    assert shape == {"replicas": 3}
    options = LabOptions(program=program)
    assert LabOptions.parse(options.document()) == options


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "no command"),
        ({"command": " "}, "command is ' '"),
        ({"command": "x", "comand": "y"}, "no field 'comand'"),
        ({"command": "x", "port_env": "MY PORT"}, "port_env"),
        ({"command": "x", "ready": "health"}, "ready"),
        ({"command": "x", "ready_within": "soon"}, "ready_within"),
        ({"command": "x", "restart": "sometimes"}, "restart"),
        ({"command": "x", "dependencies": "db"}, "dependencies"),
        ({"command": "x", "dependencies": ["db:5432"]}, "127.0.0.1:5432"),
        ({"command": "x", "bad_release": ""}, "bad_release"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    tmp_path: Path, words: dict[str, object], says: str
) -> None:
    with pytest.raises(HarnessError, match=says):
        parse_lab(words, "mine", tmp_path)


def test_the_program_of_the_nearest_harness_yaml_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "name: shop\nlab: {command: node server.js, path: /items}\nobjectives: [p95 < 100ms]\n"
    (tmp_path / "harness.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    own = find_own()
    assert own is not None
    assert (own.service.name, own.service.health_path) == ("shop", "/health")
    assert own.url == "http://127.0.0.1/items"
    assert own.service.objectives[0].threshold == 0.1
    assert find_own("another") is None


def test_a_log_that_grows_beyond_its_limit_keeps_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (MOST_LOG + 1) + b"\nlast\n")
    with log.open("ab") as writer:
        cut_log(log)
        writer.write(b"after\n")
    assert log.stat().st_size <= KEPT_LOG + 10
    assert last_lines(log, 2) == ("last", "after")


def test_the_last_lines_of_a_program_are_shown_without_secrets(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "started with DB_PASSWORD=hunter2hunter2, workers=4\n"
        'asks postgres://shop:hunter2hunter2@db/shop with token="a b c" in time=3 s\n'
    )
    assert last_lines(log, 2) == (
        "started with DB_PASSWORD=[redacted] workers=4",
        'asks postgres://[redacted]@db/shop with token="[redacted]" in time=3 s',
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ready", "/up"], "--ready is for a program of your own"),
        (["memorai", "wallet", "--command", "x"], "one program cannot be several services"),
        (["--command", " "], "command is ' '"),
        (["--command", "x", "--dependency", "db:1"], "give each as 127.0.0.1:5432"),
    ],
)
def test_a_lab_that_cannot_be_is_refused_before_it_starts(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lab", "up", *words]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert says in told[0]


def test_a_program_has_two_replicas_in_each_of_two_regions_unless_told_otherwise() -> None:
    _, program, shape = chosen((), {"command": "node server.js"})
    assert program is not None
    assert shape == {"regions": 2, "replicas": 2}
    (service,), program, _ = chosen(("memorai",), {"command": "node server.js"})
    assert (service.name, program and program.name) == ("memorai", "memorai")


def test_a_verdict_that_is_no_pass_quotes_what_the_replicas_printed_last() -> None:
    class Record:
        def of(self, kind: object) -> list[dict[str, object]]:
            said = [{"where": f"r{i}", "lines": ["first", f"no database {i}"]} for i in range(5)]
            return [{"where": "mute", "lines": []}, *said]  # type: ignore[list-item]

    record = cast("RunRecord", Record())
    told = printed_last(record, "fail")
    assert told[0] == "r0 printed last: no database 0"
    assert len(told) == 3
    assert printed_last(record, "pass") == ()
