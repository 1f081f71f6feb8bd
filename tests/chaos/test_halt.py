"""`harness halt` ends what runs, whatever it is doing, and undoes what it broke."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import project_root
from harness.chaos import halt as halting
from harness.chaos.halt import halt
from harness.chaos.ledger import Ledger
from harness.chaos.running import RUN, registered, running
from harness.cli import run
from harness.platform.kubernetes.namespace_lock import EVICT_S, RENEW_S
from harness.platform.undo import UndoRecord
from tests.chaos.conftest import Remembering
from tests.chaos.test_activities import activity, document, process, ran

OWNER = """
import sys, time
from harness.chaos.ledger import Ledger
from harness.chaos.running import registered
from harness.platform.undo import UndoRecord
with registered("experiment made") as asked, Ledger.open() as ledger:
    record = UndoRecord("held", "kill-replicas")
    ledger.injected(ledger.intend(record, {"platform": "remembering"}))
    print("ready", flush=True)
    while not asked():
        time.sleep(0.02)
    if "heals" in sys.argv:
        ledger.forget("held")
    print(asked(), flush=True)
"""


def owner(*words: str) -> subprocess.Popen[str]:
    """Another harness, with a fault in effect."""
    made = subprocess.Popen(
        [sys.executable, "-c", OWNER, *words], stdout=subprocess.PIPE, text=True
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


def test_a_run_is_told_who_wants_its_end_and_what_it_heals_is_listed(
    platform: Remembering,
) -> None:
    made = owner("heals")
    found = halt(platform, "ann at desk")
    assert made.communicate(timeout=10)[0] == "ann at desk\n"
    assert [(each.what, each.killed) for each in found.stopped] == [("experiment made", False)]
    assert [heal.fault_id for heal in found.healed] == ["held"]
    assert found.reaped.clean
    again = halt(platform, "ann at desk")
    assert (again.stopped, again.healed, again.reaped.undone) == ((), (), ())


def test_a_run_that_does_not_end_is_killed_and_its_faults_are_undone(
    platform: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halting, "END_S", 0.2)
    made = owner()
    platform.effects = ["held"]
    made.send_signal(signal.SIGSTOP)
    found = halt(platform, "ann at desk")
    assert made.wait(10) == -signal.SIGKILL
    assert found.stopped[0].killed
    assert [each.heal.fault_id for each in found.reaped.undone] == ["held"]
    assert (found.reaped.clean, platform.effects) == (True, [])


def test_where_nothing_runs_halt_says_so_and_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for _ in range(2):
        assert run(["halt"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert said == ["no experiment runs", "nothing of any fault remains"]
    assert run(["halt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "clean": True, "undone": [], "leftovers": [], "unreadable": [], "stopped": []
    }  # fmt: skip


def test_reap_beside_a_living_run_says_whose_faults_it_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with registered("game day"):
        assert run(["reap"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0].startswith("game day runs: its faults are its own to undo")
        assert said[1:] == ["nothing of any other fault remains"]
        assert run(["reap", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["running"] == ["game day"]
    assert run(["reap"]) == 0
    assert capsys.readouterr().out == "nothing of any fault remains\n"


def test_a_fault_that_cannot_be_undone_is_told(platform: Remembering) -> None:
    with Ledger.open() as ledger:
        ledger.injected(ledger.intend(UndoRecord("own", "kill-replicas", {}), {}))
        platform.effects = ["own"]
        found = halt(platform, "ann at desk")
        assert (found.reaped.clean, found.healed) == (False, ())
        ledger.forget("own")


def test_a_game_day_is_one_run_whatever_it_consists_of() -> None:
    with registered("game day") as day, registered("experiment") as inner:
        (found,) = running()
        assert (found.what, day(), inner()) == ("game day", None, None)
        found.ask("ann at desk")
        assert day() == inner() == "ann at desk"
    assert running() == ()


@pytest.mark.parametrize(
    "text", ["{}", '{"pid": "x", "what": "y"}', '{"pid": null, "what": 1}', "x"]
)
def test_a_damaged_entry_of_what_runs_keeps_halt_from_no_other(text: str) -> None:
    with registered("game day"):
        (found,) = running()
        (found.directory / RUN).write_text(text)
        assert running() == ()


def test_an_ordinary_file_that_is_halted_runs_its_rollbacks_and_is_inconclusive(
    tmp_path: Path,
) -> None:
    there = tmp_path / "there"
    made: dict[str, Any] = document(
        activity("begin", process("touch", str(there))),
        activity("wait", process("sleep", "50"), timeout=60),
        rollbacks=[activity("undo", process("rm", str(there)))],
    )

    def ask() -> None:
        deadline = time.monotonic() + 30
        while not there.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        running()[0].ask("ann at desk")

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    verdict, _ = ran(tmp_path, made)
    assert (verdict.exit_code, verdict.reasons) == (
        3,
        ("The experiment was halted by ann at desk; its rollbacks have run.",),
    )
    assert not there.exists()


def test_the_runbook_says_how_long_a_run_is_waited_for() -> None:
    text = (project_root() / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert halting.END_S == EVICT_S
    assert f"not ended after {EVICT_S:g} seconds" in text
    assert (RENEW_S, "sees that within two seconds" in text) == (2.0, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--platform", "kubernetes"], "add --namespace"),
        (["--namespace", "codai-staging"], "add --platform kubernetes"),
        (["--platform", "url"], "'url' is not one of"),
    ],
)
def test_what_was_left_out_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["halt", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
