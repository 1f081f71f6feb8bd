"""The Locust side of a traffic model; importing this imports Locust, which patches the process."""

from __future__ import annotations

import gevent
from locust import FastHttpUser, task

from harness.load import locust_plugin
from harness.traffic.declared import Declared

STAND_BY_S = 3600.0


class TrafficUser(Declared, FastHttpUser):  # type: ignore[misc]
    """A Locust user whose declarative `mix` the native engine sends.

    Subclasses set `service`, `mix`, `feeds` and, where writes can be read back, `audit`, and may
    have `@journey` methods that use `self.client` as in any Locust file. Locust's own tasks are
    not used: the schedule starts requests and journeys alike.
    """

    abstract = True

    @task  # type: ignore[untyped-decorator]
    def _stand_by(self) -> None:
        """Hold the place that Locust wants a user in; the engine does the sending."""
        gevent.sleep(STAND_BY_S)


locust_plugin.register()
