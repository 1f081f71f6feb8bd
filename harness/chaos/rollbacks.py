"""The rollbacks of a file that Chaos Toolkit could not run, because something ended it."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from chaoslib.run import EventHandlerRegistry, RunEventHandler, get_background_pools, run_rollback

from harness.toolkit import Activity, Document, Journal

ALWAYS = "always"
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def left_of(document: Document, begun: Sequence[str]) -> list[Activity]:
    """The rollbacks that were not begun, by their names."""
    names, left = list(begun), []
    for step in document.get("rollbacks") or ():
        name = str(step.get("ref") or step.get("name"))
        if name in names:
            names.remove(name)
        else:
            left.append(step)
    return left


def only(document: Document, steps: Sequence[Activity]) -> Document:
    """An experiment of these rollbacks and nothing else, without controls."""
    known = {each.get("name"): each for each in _referred(document)}
    found = [known.get(step.get("ref"), step) for step in steps]
    bare = [cast("Activity", {k: v for k, v in e.items() if k != "controls"}) for e in found]
    kept = ("title", "description", "configuration", "secrets", "dry")
    rest = cast("Document", {k: v for k, v in document.items() if k in kept})
    return {**rest, "method": [], "rollbacks": bare}


def run_left(
    document: Document,
    steps: Sequence[Activity],
    strategy: str,
    journal: Journal,
    variables: Sequence[object],
    handler: RunEventHandler,
) -> bool:
    """Run them once, where the strategy asks for it; whether any was.

    Without controls, which may be what ended it. `variables` are configuration and secrets.
    """
    experiment = only(document, steps)
    registry, before = EventHandlerRegistry(), list(journal.get("rollbacks") or ())
    registry.register(handler)
    made: Journal = {**journal, "rollbacks": []}
    made.setdefault("deviated", False)
    with _unsignalled():
        pool = get_background_pools(experiment)[1]
        run_rollback(strategy, pool, experiment, made, *variables, registry, document.get("dry"))
    journal["rollbacks"] = before + (made["rollbacks"] or [])
    return bool(made["rollbacks"])


def _referred(document: Document) -> Iterator[Activity]:
    yield from document.get("method") or ()
    yield from (document.get("steady-state-hypothesis") or {}).get("probes") or ()


@contextmanager
def _unsignalled() -> Iterator[None]:
    """No signal ends these: who waits for them kills what takes too long."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
