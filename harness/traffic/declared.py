"""What a scenario's User class declares, without Locust."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import ClassVar

from harness.traffic.model import Audit, Chain, Request


class Declared:
    """The attributes that a traffic model is read from."""

    abstract = True
    service: ClassVar[str] = ""
    mix: ClassVar[Sequence[Request | Chain]] = ()
    feeds: ClassVar[dict[str, dict[str, object]]] = {}
    audit: ClassVar[Audit | None] = None
    across: ClassVar[Sequence[str]] = ()
    """Other services that its journeys ask, at `url_of(NAME)`."""

    load: ClassVar[str] = ""
    """Of a population beside the first of a scenario: a rate, or stages."""


def stand_in_for_locust() -> None:
    """Let `harness.traffic.user` hold a TrafficUser that declares and cannot run.

    For a process that only describes scenarios: Locust takes half a second to import. A scenario
    that imports Locust itself gets the real one.
    """
    module = ModuleType("harness.traffic.user")
    vars(module)["TrafficUser"] = type("TrafficUser", (Declared,), {"__module__": module.__name__})
    sys.modules[module.__name__] = module
