"""How a command ends: each exit code means one thing, and the help and the README say which."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from harness import cli
from harness.errors import EXIT_CODES
from tests.record.synthetic import record

ROOT = Path(__file__).resolve().parents[2]
HARNESS = [sys.executable, "-m", "harness"]
BUSY = (
    "import sys, time\n"
    "from harness.process import open_streams\n"
    "open_streams()\n"
    "from harness import cli\n"
    "def busy(**words):\n"
    "    try:\n"
    "        print('ready', file=sys.stderr)\n"
    "        while True:\n"
    "            time.sleep(0.05)\n"
    "            print('progress', file=sys.stderr)\n"
    "    finally:\n"
    "        print('cleaned up', file=sys.stderr)\n"
    "        open(sys.argv[1], 'w').close()\n"
    "cli.cli.main = busy\n"
    "sys.exit(cli.run([]))\n"
)
"""A command that works until it is ended, and leaves a file where it could clean up."""


def test_a_defect_is_neither_a_verdict_nor_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def crash(**words: object) -> None:
        raise KeyError("of\nour own making")

    monkeypatch.setattr(cli.cli, "main", crash)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cli.run([]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    (file,) = tmp_path.glob("harness-defect-*.txt")
    assert "please report it" in line
    assert line.endswith(str(file))
    assert "Traceback" in file.read_text()
    assert "in crash" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_failing_import_is_a_defect_too(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise RuntimeError('broken installation')\n")
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    ended = subprocess.run(
        [*HARNESS, "--help"], env=where, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 70
    assert len(ended.stderr.splitlines()) == 1
    Path(ended.stderr.split()[-1]).unlink()


def test_a_path_that_the_system_refuses_is_the_users_to_mend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.cli, "main", lambda **words: Path("x" * 300).stat())
    assert cli.run([]) == 2
    assert "File name too long" in capsys.readouterr().err


def test_closed_standard_streams_change_neither_the_exit_code_nor_a_file(tmp_path: Path) -> None:
    """A record must never get the number of a stream that something else writes to."""
    found = record(tmp_path)
    words = f"show {found.id} --results {tmp_path} --json"
    command = f"{sys.executable} -m harness {words} <&- >&- 2>&-"
    ended = subprocess.run(["/bin/sh", "-c", command], check=False, timeout=60)
    assert ended.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_cleans_up_and_is_an_interruption(number: int, tmp_path: Path) -> None:
    with _busy(tmp_path / "clean", subprocess.PIPE) as child:
        assert child.stderr is not None
        child.stderr.readline()
        child.send_signal(number)
        said = child.stderr.read().decode()
    assert child.returncode == 130
    assert (tmp_path / "clean").exists()
    assert said.endswith("cleaned up\nharness: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_script_can_stop_what_it_started_in_the_background(number: int, tmp_path: Path) -> None:
    """A shell without job control ignores SIGINT in what it starts with `&`."""
    with _busy(tmp_path / "clean", subprocess.PIPE, "env", "--ignore-signal=INT") as child:
        assert child.stderr is not None
        while child.stderr.readline() != b"ready\n":
            pass
        child.send_signal(number)
        assert child.wait(30) == 130
    assert (tmp_path / "clean").exists()


def test_a_reader_of_the_progress_that_leaves_is_a_hang_up(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with _busy(tmp_path / "clean", writer) as child:
        os.close(writer)
        os.read(reader, 5)
        os.close(reader)
        assert child.wait(30) == 130
    assert (tmp_path / "clean").exists()


def test_a_terminal_that_is_closed_is_a_hang_up(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with _busy(tmp_path / "clean", theirs) as child:
        os.close(theirs)
        os.read(ours, 5)
        os.close(ours)
        assert child.wait(30) == 130
    assert (tmp_path / "clean").exists()


def test_nohup_is_respected(tmp_path: Path) -> None:
    """Who asked to survive the terminal goes on."""
    with _busy(tmp_path / "clean", subprocess.PIPE, "nohup") as child:
        assert child.stderr is not None
        while child.stderr.readline() != b"ready\n":
            pass
        child.send_signal(signal.SIGHUP)
        time.sleep(0.2)  # an ignored signal leaves nothing to wait for
        assert child.poll() is None
        child.kill()


def _busy(clean: Path, stderr: int, *before: str) -> subprocess.Popen[bytes]:
    """Hang-ups and interrupts are not ignored in it, though they may be here, as under nohup."""
    return subprocess.Popen(
        ["env", "--default-signal=HUP,INT", *before, sys.executable, "-c", BUSY, str(clean)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def test_help_and_readme_say_what_every_exit_code_means(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["--help"]) == 0
    helped = " ".join(capsys.readouterr().out.split())
    readme = (ROOT / "README.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", readme, re.MULTILINE))
    assert rows == {str(code): meaning for code, meaning in EXIT_CODES.items()}
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in helped
