"""The Locust side of a traffic model; importing this imports Locust, which patches the process."""

from collections.abc import Mapping
from types import MappingProxyType

import gevent
from locust import FastHttpUser, User, task

from harness.load import locust_plugin
from harness.load.session import Session
from harness.traffic.declared import Declared

STAND_BY_S = 3600.0


class TrafficUser(Declared, FastHttpUser):  # type: ignore[misc]
    """A Locust user whose declarative `mix` the native engine sends.

    Subclasses set `service`, `mix`, `feeds` and, where writes can be read back, `audit`, and may
    have `@journey` methods that use `self.client` as in any Locust file. The schedule starts
    requests and journeys alike. Each journey is a new visitor: an instance of its own, whose
    `on_start` runs before and whose `on_stop` runs after it.
    """

    abstract = True
    insecure = False
    """Whether TLS certificates go unverified."""

    network_timeout = 10.0
    """Seconds that a request of a journey may take as a whole, its body included."""

    connection_timeout = 5.0
    values: Mapping[str, str] = MappingProxyType({})
    """What the set-up hooks gave: for a journey the values of its arrival, for a hook the first."""

    harness_visit: object = None
    """The journey that this user walks; None for the one that only stands by."""

    def __init__(self, environment: object) -> None:
        User.__init__(self, environment)
        self.client = Session(self)

    def run(self) -> None:
        """Hold the place that Locust wants a user in; the engine starts what there is to do."""
        gevent.sleep(STAND_BY_S)

    @task  # type: ignore[untyped-decorator]
    def stand_by(self) -> None:
        """Nothing: Locust warns of users without a task."""


locust_plugin.register()
