"""What the actions of an experiment must know: which deployment, which service, which ledger."""

import atexit
import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from harness.catalog import load_catalog
from harness.catalog.model import Service
from harness.chaos.confirmed import Confirmed, Injections
from harness.chaos.ledger import Ledger
from harness.chaos.processes import VARIABLE
from harness.chaos.running import Asked, registered
from harness.chaos.undo import undo_all
from harness.errors import ExperimentError
from harness.platform.model import Platform
from harness.platform.registry import attach
from harness.session.own import find_own
from harness.storage import read_object, write_atomic

POLL_S = 0.2
"""How often plain `chaos run` looks whether it should end."""


@dataclass(frozen=True, slots=True)
class Context:
    """The deployment as its handle, the service, the ledger's directory.

    `path` is what a probe asks for; `expected` must stand in the answer. `confirmed` are the faults
    that may be injected; None: any.
    """

    handle: Mapping[str, object]
    service: Service
    ledger: str
    path: str
    expected: str | None = None
    confirmed: Confirmed | None = None

    def write(self, file: Path) -> None:
        """Store it where HARNESS_CHAOS_CONTEXT will point."""
        write_atomic(file, json.dumps(asdict(self), default=str))

    @property
    def platform(self) -> Platform:
        """The platform, attached anew."""
        return attach(self.handle)

    @property
    def faults(self) -> Ledger:
        """The ledger."""
        return Ledger(Path(self.ledger))


@cache
def current() -> Context:
    """The context that the variable names, else the lab that is up; ExperimentError for neither."""
    file = os.environ.get(VARIABLE)
    if file:
        return TypeAdapter(Context).validate_python(read_object(Path(file)))
    return _explored()


def _end_when(asked: Asked) -> None:
    """SIGTERM, once, as soon as somebody asks for the end."""
    while asked() is None:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)


@cache
def injections() -> Injections | None:
    """What this process may still inject; None: anything."""
    confirmed = current().confirmed
    return None if confirmed is None else Injections(confirmed)


def _explored() -> Context:
    """Plain `chaos run`: the one lab that `harness lab up` started, with a ledger of its own.

    By default Chaos Toolkit leaves out its rollbacks after Ctrl-C; what the ledger still holds
    is undone when this process ends, as `harness halt` asks it to.
    """
    from harness.platform.lab import runtime  # noqa: PLC0415 - only here is it the lab
    from harness.platform.lab.platform import Lab  # noqa: PLC0415

    labs = [Lab.attach(each) for each in runtime.running()]
    up = [lab for lab in labs if lab.detached]
    if len(up) != 1:
        raise ExperimentError(
            f"{len(up)} labs are up", "start one: harness lab up --regions 2 --replicas 2 --edges"
        )
    lab = up[0]
    name = next(place.service for place in lab.places if place.service)
    own = find_own(name)
    service = load_catalog().service(str(name)) if own is None else own.service
    stack = ExitStack()
    atexit.register(stack.close)
    ledger = stack.enter_context(Ledger.open())
    stack.callback(undo_all, lab, ledger)
    asked = stack.enter_context(registered("chaos run"))
    threading.Thread(target=_end_when, args=(asked,), daemon=True).start()
    return Context(lab.handle(), service, str(ledger.directory), service.health_path)
