"""Chaos Toolkit's process: nothing it does is silent, nothing it starts outlives it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import project_root
from harness.chaos.experiment import load_experiment
from harness.chaos.ledger import Ledger
from harness.chaos.limits import within
from harness.chaos.plain import PlainVerdict, run_plain
from harness.chaos.processes import OWNER
from harness.chaos.session import check_prometheus
from harness.chaos.subprocesses import Child
from harness.chaos.undo import reap
from harness.errors import ExperimentError
from harness.session.options import RunOptions

ROOT = project_root()
Document = dict[str, Any]


def activity(name: str, provider: Document, kind: str = "action", **fields: Any) -> Document:
    return {"type": kind, "name": name, "provider": provider, **fields}


def python(module: str, func: str, **arguments: Any) -> Document:
    return {"type": "python", "module": module, "func": func, "arguments": arguments}


def process(path: str, arguments: str = "", **fields: Any) -> Document:
    return {"type": "process", "path": path, "arguments": arguments, **fields}


EXISTS = activity("it is there", python("os.path", "exists", path="/"), "probe", tolerance=True)


def document(*method: Document, **fields: Any) -> Document:
    return {
        "title": "T",
        "description": "D",
        "steady-state-hypothesis": {"title": "S", "probes": [EXISTS]},
        "method": list(method),
        **fields,
    }


def ran(tmp_path: Path, made: Document) -> tuple[PlainVerdict, Document]:
    file = tmp_path / "ordinary.json"
    file.write_text(json.dumps(made, indent="\t"))
    experiment = load_experiment(str(file), ROOT)
    assert experiment.ordinary
    verdict, directory = run_plain(experiment, tmp_path / "results", lambda message: None)
    kept = (directory, *directory.iterdir())
    assert not any(path.stat().st_mode & 0o077 for path in kept), "others can read it"
    journal = directory / "journal.json"
    return verdict, json.loads(journal.read_text()) if journal.exists() else {}


def test_an_ordinary_file_runs_as_it_is_and_passes_by_its_steady_state(tmp_path: Path) -> None:
    """Builtins without a signature, regex, range and jsonpath tolerances, the file's strategy."""
    echo = process("echo", "'{\"n\": 3}'")
    probes = [
        activity(
            "a", echo, "probe", tolerance={"type": "regex", "pattern": "3", "target": "stdout"}
        ),
        activity(
            "b", python("time", "time"), "probe", tolerance={"type": "range", "range": [1, 1e12]}
        ),
        activity(
            "c", echo, "probe", tolerance={"type": "jsonpath", "path": "$.n", "target": "stdout"}
        ),
    ]
    rollback = activity("never run", process("false"))
    runtime = {"rollbacks": {"strategy": "never"}}
    made = document(*probes, activity("wait", python("time", "sleep", seconds=0)),
                    rollbacks=[rollback], runtime=runtime)  # fmt: skip
    verdict, journal = ran(tmp_path, made)
    assert (verdict.outcome, verdict.exit_code) == ("pass", 0), verdict.reasons
    assert [run["status"] for run in journal["run"]] == ["succeeded"] * 4
    assert journal["rollbacks"] == []


def test_what_goes_wrong_in_a_method_is_named_and_what_it_started_is_gone(tmp_path: Path) -> None:
    mark = f"{5_000_000 + os.getpid()}"
    made = document(
        activity("remove", python("os", "remove", path="/nonexistent/file")),
        activity("exit", process("false")),
        activity("hangs", process("sh", f"-c 'sleep {mark} & sleep {mark}'"), timeout=0.3),
        activity("daemon", process("sh", f"-c 'sleep {mark} >/dev/null 2>&1 &'")),
        activity("detached", process("setsid", f"-f sleep {mark} >/dev/null 2>&1")),
        activity("reads", process("cat", "-"), timeout=5),
        activity("asks", {"type": "http", "url": "nowhere"}),
        activity("there", python("os.path", "exists", path="/none"), "probe", tolerance=True),
    )
    verdict, _ = ran(tmp_path, made)
    assert verdict.outcome == "inconclusive"
    for said in (
        "Action `remove` failed: FileNotFoundError",
        "Action `exit` ended with exit code 1",
        "Action `hangs` failed: it did not end within 0.3 s",
        "Action `asks` failed: MissingSchema: Invalid URL 'nowhere'",
        "Probe `there` gave false, outside its tolerance true",
    ):
        assert said in verdict.reasons[0]
    assert "`reads`" not in verdict.reasons[0], "its input has ended"
    left = subprocess.run(["pgrep", "-f", f"sleep {mark}"], capture_output=True, check=False)
    assert left.stdout == b""


def test_a_control_that_ends_the_experiment_or_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_controls.py").write_text(
        "from chaoslib.exceptions import InterruptExecution\n"
        "def configure_control(**_): raise KeyError('no address')\n"
        "def before_activity_control(context, **_):\n"
        "    if context['name'] == 'second': raise InterruptExecution('latency is too high')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    control = {"name": "guard", "provider": {"type": "python", "module": "made_controls"}}
    made = document(
        activity("first", python("os", "getpid")),
        activity("second", python("os", "getpid")),
        controls=[control],
    )
    verdict, _ = ran(tmp_path, made)
    assert verdict.outcome == "inconclusive"
    told = " ".join(verdict.reasons)
    assert "interrupted before its end: latency is too high" in told
    assert "The control `guard` failed: KeyError: 'no address'" in told
    assert "not checked after the fault" in told


ENDINGS = """
import os
class Stop(BaseException): pass
class Halt(KeyboardInterrupt): pass
where, what = os.environ["ENDS_AT"], eval(os.environ["ENDS_BY"])
def at(place):
    if place == where: raise what
def before_experiment_control(context, **_): at("begin")
def after_experiment_control(context, **_): at("end")
def before_method_control(context, **_): at("method")
def before_rollback_control(context, **_): at("rollbacks")
def before_activity_control(context, **_): at("before " + context["name"])
def after_activity_control(context, **_): at("after " + context["name"])
def cleanup_control(): at("cleanup")
"""


@pytest.mark.parametrize("problem", ["Stop('s')", "Halt('h')", "SystemExit(4)"])
@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("begin", ""),
        ("method", ""),
        ("before break", ""),
        ("after break", ""),
        ("rollbacks", "rollbacks have run"),
        ("before undo 1", "rollbacks have run"),
        ("after undo 1", "that were left have run"),
        ("after undo 2", ""),
        ("end", ""),
        ("cleanup", ""),
    ],
)
def test_every_rollback_runs_once_wherever_a_control_ends_the_experiment(
    place: str, says: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ending_controls.py").write_text(ENDINGS)
    for name, value in (
        ("PYTHONPATH", str(tmp_path)), ("ENDS_AT", place), ("ENDS_BY", problem)
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path))
    done = tmp_path / "done"
    control = {"name": "ends", "provider": {"type": "python", "module": "ending_controls"}}
    made = document(
        activity("break", python("os", "getpid")),
        controls=[control],
        rollbacks=[
            activity(f"undo {n}", process("sh", f"-c 'echo {n} >> {done}'")) for n in (1, 2)
        ],
    )
    verdict, journal = ran(tmp_path, made)
    assert done.read_text().split() == ["1", "2"]
    assert [run["activity"]["name"] for run in journal["rollbacks"]] == ["undo 1", "undo 2"]
    told = " ".join(verdict.reasons)
    assert verdict.outcome == "inconclusive", told
    assert says in told


@pytest.mark.parametrize(
    ("strategy", "runs"), [("never", False), ("deviated", False), ("always", True)]
)
def test_what_ends_the_experiment_runs_the_rollbacks_that_the_strategy_asks_for(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, runs: bool
) -> None:
    (tmp_path / "ending_controls.py").write_text(ENDINGS)
    for name, value in (
        ("PYTHONPATH", str(tmp_path)), ("ENDS_AT", "after break"), ("ENDS_BY", "Stop('now')")
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path))
    done = tmp_path / "done"
    made = document(
        activity("break", python("os", "getpid")),
        controls=[{"name": "ends", "provider": {"type": "python", "module": "ending_controls"}}],
        rollbacks=[activity("undo", process("touch", str(done)))],
        runtime={"rollbacks": {"strategy": strategy}},
    )
    verdict, _ = ran(tmp_path, made)
    assert done.exists() is runs
    said = "its rollbacks have run" if runs else "no rollback has run"
    assert f"Stop: now; {said}" in verdict.reasons[0]


def test_a_process_that_dies_leaves_its_log_and_its_last_line(tmp_path: Path) -> None:
    made = document(activity("die", python("os", "_exit", status=3)))
    verdict, journal = ran(tmp_path, made)
    assert (verdict.outcome, journal) == ("inconclusive", {})
    assert "left no journal" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("strategy", "said"),
    [(None, "code 3; its rollbacks have run."), ("never", "code 3; no rollback has run.")],
)
def test_the_rollbacks_of_a_process_that_dies_run_once(
    strategy: str | None, said: str, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    made = document(
        activity("die", python("os", "_exit", status=3)),
        rollbacks=[
            activity(f"undo {n}", process("sh", f"-c 'echo {n} >> {done}'")) for n in (1, 2)
        ],
        runtime={"rollbacks": {"strategy": strategy}},
    )
    verdict, _ = ran(tmp_path, made)
    assert verdict.outcome == "inconclusive"
    assert said in verdict.reasons[0]
    assert (done.read_text().split() if done.exists() else []) == ([] if strategy else ["1", "2"])


def test_a_process_that_dies_in_its_rollbacks_has_the_rest_of_them_run(tmp_path: Path) -> None:
    done = tmp_path / "done"
    made = document(
        activity("break", python("os", "getpid")),
        rollbacks=[
            activity("die", python("os", "_exit", status=3)),
            activity("undo", process("touch", str(done))),
        ],
    )
    verdict, _ = ran(tmp_path, made)
    assert done.exists()
    assert "; its rollbacks have run." in verdict.reasons[0]


def test_a_file_without_a_steady_state_says_nothing(tmp_path: Path) -> None:
    made = document(activity("a", python("os", "getpid")))
    del made["steady-state-hypothesis"]
    verdict, _ = ran(tmp_path, made)
    assert (verdict.outcome, verdict.exit_code) == ("inconclusive", 3)


def test_a_dry_run_carries_nothing_out(tmp_path: Path) -> None:
    file = tmp_path / "made"
    made = document(activity("touch", process("touch", str(file))), dry="activities")
    verdict, _ = ran(tmp_path, made)
    assert not file.exists()
    assert "dry run" in verdict.reasons[0]


def test_a_call_within_its_time_gives_its_value_or_its_own_error() -> None:
    assert within(5.0, lambda: 3) == 3
    with pytest.raises(TimeoutError, match="its own"):
        within(5.0, lambda: (_ for _ in ()).throw(TimeoutError("its own")))


def test_what_a_child_leaves_in_its_session_ends_with_it(tmp_path: Path) -> None:
    """Its own group of processes or not."""
    mark = f"{6_000_000 + os.getpid()}"
    (tmp_path / "leaves.py").write_text(
        f"import subprocess\nsubprocess.Popen(['sleep', '{mark}'], process_group=0)\n"
    )
    child = Child("leaves", [], queue.SimpleQueue(), log=tmp_path / "log", grace_s=5.0,
                  environment={**os.environ, "PYTHONPATH": str(tmp_path)})  # fmt: skip
    with child:
        child.wait(10.0)
    deadline = time.monotonic() + 5
    found = b"x"
    while found and time.monotonic() < deadline:
        done = subprocess.run(["pgrep", "-f", f"sleep {mark}"], capture_output=True, check=False)
        found = done.stdout
    assert found == b""
    assert sys.version_info >= (3, 11)


def test_reap_ends_what_an_activity_of_a_run_that_is_gone_left(tmp_path: Path) -> None:
    """And not what one of a living run has started."""
    found: dict[str, subprocess.Popen[bytes]] = {}
    with Ledger.open() as living:
        for name, held in (("gone", tmp_path / "none"), ("alive", living.directory)):
            environment = {**os.environ, OWNER: str(held)}
            found[name] = subprocess.Popen(["sleep", "600"], env=environment)
        try:
            wait_for(lambda: all(OWNER.encode() in _environ(p.pid) for p in found.values()))
            reap(())  # or another test's: it is gone either way
            assert found["gone"].wait(10) == -signal.SIGKILL
            assert found["alive"].poll() is None
        finally:
            for each in found.values():
                each.kill()
                each.wait()


def _environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_probe_of_a_prometheus_that_nobody_named_is_refused_before_any_load(
    tmp_path: Path,
) -> None:
    asks = activity("cpu", python("harness.chaos.probes", "prometheus", query="up"), "probe")
    file = tmp_path / "asks.json"
    file.write_text(json.dumps(document(asks)))
    experiment = load_experiment(str(file), ROOT)
    with pytest.raises(ExperimentError, match=r"probe 'cpu' asks a Prometheus; name it"):
        check_prometheus(experiment, RunOptions("memorai"))
    check_prometheus(experiment, RunOptions("memorai", prometheus="http://127.0.0.1:9090"))
