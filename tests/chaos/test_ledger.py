"""The ledger: on disk before the act, an orphan as soon as its owner is gone, undone by reap."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.chaos.ledger import Ledger, ledger_directory, orphans
from harness.chaos.undo import reap, undo_all, uninterrupted
from harness.errors import Gone, RecordError
from harness.platform.undo import UndoRecord
from tests.chaos.conftest import Remembering

OWNER = """
import sys
from harness.chaos.ledger import Ledger
from harness.platform.undo import UndoRecord
with Ledger.open() as ledger:
    for name in ("first", "second"):
        entry = ledger.intend(UndoRecord(name, "kill-replicas", {}), {"platform": "remembering"})
    ledger.injected(entry)
    print("ready", flush=True)
    sys.stdin.read()
"""


def owner() -> subprocess.Popen[str]:
    """Another harness in the middle of two faults."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_living_runs_faults_are_no_orphans_and_a_killed_ones_are() -> None:
    """The kernel's lock tells, however the run ended."""
    process = owner()
    try:
        assert orphans() == ()
    finally:
        process.kill()
        process.wait()
    (left,) = orphans()
    assert [(each.fault_id, each.state) for each in left.entries()] == [
        ("second", "injected"),
        ("first", "intent"),
    ]


def test_reap_undoes_what_a_killed_run_left_and_forgets_it(platform: Remembering) -> None:
    """Both the intent and the injected; a second reap finds nothing."""
    process = owner()
    process.kill()
    process.wait()
    platform.effects = ["first", "second"]
    found = reap((platform,))
    assert found.clean
    assert [each.heal.fault_id for each in found.undone] == ["second", "first"]
    assert platform.effects == []
    assert list(ledger_directory().iterdir()) == []
    assert reap((platform,)).undone == ()


def test_a_heal_that_does_nothing_is_told_and_kept(platform: Remembering) -> None:
    """What was not proven gone must be found by the next reap."""
    process = owner()
    process.kill()
    process.wait()
    platform.effects, platform.stubborn = ["second"], True
    found = reap((platform,))
    assert not found.clean
    assert [each.problem for each in found.undone if each.problem] == [
        "healed, but still in effect: it is there"
    ]
    (left,) = orphans()
    assert [each.fault_id for each in left.entries()] == ["second"]


def test_a_fault_whose_deployment_is_gone_went_with_it(
    platform: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab that died needs no heal."""
    process = owner()
    process.kill()
    process.wait()

    def gone(handle: object) -> object:
        raise Gone("the lab is gone", "start one")

    monkeypatch.setattr("harness.chaos.undo.attach", gone)
    assert reap((platform,)).clean
    assert orphans() == ()


def test_a_ledger_that_cannot_be_read_is_told_and_stays(platform: Remembering) -> None:
    """Nobody may take an unreadable fault for none."""
    directory = ledger_directory() / "1-aa"
    directory.mkdir(parents=True)
    (directory / "x.json").write_text("{")
    found = reap((platform,))
    assert not found.clean
    assert "x.json" in found.unreadable[0]
    assert (directory / "x.json").exists()


def test_an_entry_that_cannot_be_read_does_not_keep_its_neighbours(platform: Remembering) -> None:
    """Neither when a killed run's ledger is reaped nor when a run undoes its own."""
    process = owner()
    process.kill()
    process.wait()
    (directory,) = ledger_directory().iterdir()
    (directory / "0.json").write_text("{")
    platform.effects = ["first", "second"]
    found = reap((platform,))
    assert [each.heal.fault_id for each in found.undone] == ["second", "first"]
    assert platform.effects == []
    assert not found.clean
    assert [path.name for path in directory.iterdir()] == ["0.json"]
    with Ledger.open() as ledger:
        ledger.injected(ledger.intend(UndoRecord("own", "kill-replicas", {}), {}))
        (ledger.directory / "0.json").write_text("{")
        platform.effects = ["own"]
        with pytest.raises(RecordError, match=r"0\.json"):
            undo_all(platform, ledger)
        assert platform.effects == []


def test_what_the_deployment_itself_remembers_is_undone_too(platform: Remembering) -> None:
    """A run on another machine left it; no ledger here knows of it."""
    platform.effects = platform.remembered = ["elsewhere"]
    found = reap((platform,))
    assert found.clean
    assert [each.heal.fault_id for each in found.undone] == ["elsewhere"]


def test_an_entry_of_another_schema_is_refused() -> None:
    """A newer harness may mean something else by it."""
    with Ledger.open() as ledger:
        ledger.intend(UndoRecord("a", "kill-replicas", {}), {})
        (path,) = ledger.directory.glob("*.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
        with pytest.raises(RecordError, match="schema 99"):
            ledger.entries()
        path.unlink()


def test_an_entry_of_the_first_schema_is_read() -> None:
    """A harness of an older version was killed."""
    with Ledger.open() as ledger:
        ledger.intend(UndoRecord("a", "kill-replicas", {}), {})
        (path,) = ledger.directory.glob("*.json")
        held = {"count": 1, "runtime": "/run/lab-1", "targets": ["m-0"]}
        heal = {"fault_id": "a", "kind": "kill-replicas", "arguments": held}
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 1, "heal": heal}))
        (entry,) = ledger.entries()
        assert (entry.heal.targets, entry.heal.arguments) == (("m-0",), {"count": 1})
        path.write_text(json.dumps({**json.loads(path.read_text()), "heal": {**heal, "more": 1}}))
        with pytest.raises(RecordError, match="not an entry of the ledger"):
            ledger.entries()
        path.unlink()


def test_an_entry_undone_while_the_others_are_read_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The chaos child and the command line heal side by side after an abort."""
    with Ledger.open() as ledger:
        ledger.intend(UndoRecord("a", "kill-replicas", {}), {})
        listed = list(ledger.directory.glob("*.json"))
        ledger.forget("a")
        monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(listed))
        assert ledger.entries() == ()


def test_an_abort_leaves_intents_to_the_process_that_is_about_to_act(
    platform: Remembering,
) -> None:
    """Undone before the act, the act would be in nobody's ledger."""
    with Ledger.open() as ledger:
        ledger.intend(UndoRecord("a", "kill-replicas", {}), {})
        assert undo_all(platform, ledger, intents=False) == ()
        assert len(undo_all(platform, ledger)) == 1


def test_an_injection_is_on_disk_though_the_directory_was_removed_meanwhile() -> None:
    """By a reap that undid the intent of a run it took for gone."""
    with Ledger.open() as ledger:
        entry = ledger.intend(UndoRecord("a", "kill-replicas", {}), {})
        ledger.forget("a")
        ledger.close()
        ledger.injected(entry)
        assert [each.state for each in ledger.entries()] == ["injected"]
        ledger.forget("a")


def test_one_fault_that_cannot_be_undone_does_not_keep_the_others(platform: Remembering) -> None:
    """And what could not be undone stands in the result."""
    platform.broken = True
    with Ledger.open() as ledger:
        for name in ("a", "b"):
            ledger.injected(ledger.intend(UndoRecord(name, "kill-replicas", {}), {}))
        told = [each.problem for each in undo_all(platform, ledger)]
        assert len(told) == 2
        assert all(told)
        platform.broken = False
        undo_all(platform, ledger)


def test_ctrl_c_during_a_heal_waits_for_its_end() -> None:
    """It is let through afterwards, not lost."""
    done = []

    def heal() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("healed")

    with pytest.raises(KeyboardInterrupt):
        heal()
    assert done == ["healed"]
