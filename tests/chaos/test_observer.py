"""The platform is asked for a fault's proof while it holds, and until the end once undone."""

from __future__ import annotations

import queue

import pytest

from harness.catalog.model import Service
from harness.chaos.ledger import Ledger
from harness.chaos.observer import Observer
from harness.chaos.subprocesses import Inbox
from harness.chaos.undo import came_back, undo_all
from harness.errors import PlatformError
from harness.platform.model import Observation
from harness.platform.undo import UndoRecord
from tests.chaos.conftest import Remembering

FIRST, SECOND = (UndoRecord(name, "kill-replicas", {}) for name in ("first", "second"))


def begun(ledger: Ledger, platform: Remembering, heal: UndoRecord) -> None:
    ledger.injected(ledger.intend(heal, platform.handle()))
    platform.effects.append(heal.fault_id)


def told(inbox: Inbox) -> list[tuple[str, bool | None]]:
    """The proofs since the last call: which fault, and whether it is in effect."""
    found = []
    while not inbox.empty():
        event = inbox.get()
        assert event["type"] == "proof"
        found.append((event["fault_id"], event["in_effect"]))
    return found


@pytest.fixture
def inbox() -> Inbox:
    return queue.SimpleQueue()


def test_a_fault_that_comes_back_is_seen_though_the_ledger_has_forgotten_it(
    platform: Remembering, service: Service, inbox: Inbox
) -> None:
    with Ledger.open() as ledger:
        observer = Observer(platform, service, ledger, inbox)
        begun(ledger, platform, FIRST)
        observer._prove()
        undo_all(platform, ledger)
        observer._prove()
        platform.effects.append("first")
        observer._prove()
        assert told(inbox) == [("first", True), ("first", False), ("first", True)]


def test_while_another_fault_holds_those_before_it_are_not_asked_for(
    platform: Remembering, service: Service, inbox: Inbox
) -> None:
    """The second may look like the first: both pause the same replica, say."""
    with Ledger.open() as ledger:
        observer = Observer(platform, service, ledger, inbox)
        begun(ledger, platform, FIRST)
        observer._prove()
        undo_all(platform, ledger)
        begun(ledger, platform, SECOND)
        platform.effects.append("first")
        observer._prove()
        assert told(inbox) == [("first", True), ("second", True)]
        assert [heal.fault_id for heal in observer.seen] == ["first", "second"]
        assert not came_back(platform, ledger, observer.seen)
        undo_all(platform, ledger)


def test_a_platform_that_does_not_answer_for_a_while_is_told_and_asked_again(
    platform: Remembering, service: Service, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load goes on beside it."""

    def refuse(service: Service) -> Observation:
        raise PlatformError("pods: the API server refused (429)", "try again")

    with Ledger.open() as ledger:
        observer = Observer(platform, service, ledger, inbox)
        with monkeypatch.context() as patch:
            patch.setattr(platform, "observe", refuse)
            observer._observe()
        observer._observe()
    unseen, seen = inbox.get(), inbox.get()
    assert unseen["type"] == "health"
    assert "refused (429)" in str(unseen["now"])
    assert seen["type"] == "health_first"


@pytest.mark.parametrize("back", [True, False])
def test_at_the_end_a_fault_that_came_back_is_undone_once_more(
    platform: Remembering, *, back: bool
) -> None:
    platform.effects = ["first"] if back else []
    with Ledger.open() as ledger:
        assert came_back(platform, ledger, (FIRST, SECOND)) is back
        assert [done.heal.fault_id for done in undo_all(platform, ledger)] == ["first"] * back
    assert platform.effects == []
