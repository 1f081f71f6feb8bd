"""A program under test: ready, stopped with all it started, whatever it does. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from harness.errors import PlatformError
from harness.platform.program import Program, run_to_end, running

SERVER = """
import http.server, os, signal, subprocess, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *words):
        pass
def serve(host="127.0.0.1"):
    print("listening", flush=True)
    http.server.HTTPServer((host, int(os.environ["PORT"])), Handler).serve_forever()
"""
PYTHON = sys.executable


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Program]:
    def make(body: str) -> Program:
        (tmp_path / "server.py").write_text(SERVER + textwrap.dedent(body))
        return Program(f"{PYTHON} server.py", tmp_path, ready_s=20.0, stop_s=1.0)

    return make


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_it_answers_on_its_port_while_it_runs_and_not_after(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    with running(program("serve()"), tmp_path / "logs" / "a.log") as one:
        assert httpx.get(f"{one.url}/health").status_code == 200
        pids = one.processes()
    assert pids
    assert not any(map(alive, pids))
    assert (tmp_path / "logs" / "a.log").read_text() == "listening\n"


def test_two_run_side_by_side_on_ports_of_their_own(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    one = program("serve()")
    with running(one, tmp_path / "a.log") as a, running(one, tmp_path / "b.log") as b:
        assert a.port != b.port
        a.stop()
        assert httpx.get(f"{b.url}/health").status_code == 200


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo no database >&2; exit 7", r"ended with exit code 7: no database"),
        ("true", r"ended with exit code 0 and printed nothing"),
        ("kill -9 $$", r"ended by signal 9"),
        ("no-such-program", r"ended with exit code 127: .*not found"),
    ],
)
def test_one_that_ends_at_once_is_reported_with_its_last_line(
    tmp_path: Path, command: str, says: str
) -> None:
    with (
        pytest.raises(PlatformError, match=says),
        running(Program(command, tmp_path), tmp_path / "log"),
    ):
        pass


def test_one_that_is_not_ready_in_time_is_stopped_and_its_status_named(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    slow = replace(program("serve()"), ready_path="/absent", ready_s=3.0)
    says = r"not ready .*after 3 s \(it answers with status 404"
    with pytest.raises(PlatformError, match=says), running(slow, tmp_path / "log"):
        pass
    assert not [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(tmp_path)]


def test_one_that_ignores_sigterm_is_killed(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    stubborn = program("signal.signal(signal.SIGTERM, signal.SIG_IGN); serve()")
    with running(stubborn, tmp_path / "log") as one:
        pids = one.processes()
    assert not any(map(alive, pids))


def test_one_that_goes_into_the_background_is_found_and_stopped(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    daemon = program(
        "if os.fork():\n    sys.exit(0)\nos.setsid()\nif os.fork():\n    os._exit(0)\nserve()"
    )
    with running(daemon, tmp_path / "log") as one:
        until = time.monotonic() + 10
        while alive(one.pid) and time.monotonic() < until:  # it may serve before its parent ends
            one.check()
            time.sleep(0.05)
        pids = one.processes()
        assert pids
        assert one.pid not in pids
    assert not any(map(alive, pids))


def test_one_that_dies_later_is_noticed(program: Callable[[str], Program], tmp_path: Path) -> None:
    with running(program("serve()"), tmp_path / "log") as one:
        for each in one.processes():
            os.kill(each, signal.SIGKILL)
        time.sleep(0.2)
        with pytest.raises(PlatformError, match="ended by signal 9: listening"):
            one.check()


def test_it_ends_when_the_harness_is_killed(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    server = program("serve()")
    owner = f"""
        import sys, time
        from pathlib import Path
        from harness.platform.program import Program, running
        with running(Program({server.command!r}, Path({str(tmp_path)!r}), stop_s=1.0),
                     Path({str(tmp_path / "log")!r})) as one:
            print(*one.processes(), flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen(
        [PYTHON, "-c", textwrap.dedent(owner)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert pids
    process.kill()
    process.communicate()
    until = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("command", ["", " ", "a\0b"])
def test_what_is_no_command_is_refused(tmp_path: Path, command: str) -> None:
    with pytest.raises(PlatformError, match="is no command"):
        run_to_end(command, tmp_path, tmp_path / "log", 5.0)


def test_a_build_that_fails_or_hangs_is_one_line_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"exit code 3: missing header; see its log"):
        run_to_end("echo missing header; exit 3", tmp_path, tmp_path / "log", 5.0)
    with pytest.raises(PlatformError, match=r"not done after 0\.3 s"):
        run_to_end("sleep 30", tmp_path, tmp_path / "log", 0.3)
    with pytest.raises(PlatformError, match="no such directory"):
        run_to_end("true", tmp_path / "gone", tmp_path / "log", 5.0)
    run_to_end("touch done", tmp_path, tmp_path / "log", 5.0)
    assert (tmp_path / "done").exists()


def test_it_inherits_neither_the_harness_s_token_nor_a_hook_s_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HARNESS_PROMETHEUS_TOKEN", "GIT_DIR", "KEPT"):
        monkeypatch.setenv(name, "secret")
    run_to_end("env > variables", tmp_path, tmp_path / "log", 5.0)
    names = {line.partition("=")[0] for line in (tmp_path / "variables").read_text().splitlines()}
    assert "KEPT" in names
    assert not names & {"HARNESS_PROMETHEUS_TOKEN", "GIT_DIR"}
