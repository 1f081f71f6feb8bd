"""What is said of a program of one's own: read, checked, and named where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.own import find_own, parse_lab
from harness.platform.lab.options import LabOptions
from harness.platform.lab.units import KEPT_LOG, MOST_LOG, cut_log
from harness.platform.program import last_lines


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
