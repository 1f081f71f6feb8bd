"""Set-up hooks of a scenario: they run before the load, and again while it goes on.

One process runs them, the single one or the master, and gives their values to all. The values are
secrets: whatever a process of the load writes of them is redacted.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gevent
from gevent.pool import Group
from locust.env import Environment

from harness.errors import HarnessError, NoAnswer, ScenarioError
from harness.load.failures import Failures
from harness.load.plan import LoadPlan
from harness.load.session import STEP
from harness.load.visit import Aside, user_of, visitor, ways_to
from harness.messages import FailureExample
from harness.redact import redact, register
from harness.traffic.files import json_text
from harness.traffic.model import Setup, TrafficModel

Values = dict[str, dict[str, list[str]]]
"""population -> feed -> values; arrival k takes the one at k modulo their number."""

LONGEST_S = 60.0
"""A hook that takes longer is given up: logging in takes seconds."""

RETRY_S = 10.0
"""At most so long after a refresh that failed it is tried again."""


class Hooks:
    """The hooks of all populations of a plan."""

    def __init__(self, environment: Environment, plan: LoadPlan) -> None:
        self._environment = environment
        self._models = (plan.traffic, *plan.traffic.others)
        self._way = ways_to(plan.target)[0]
        self._failures = Failures(plan.traffic.source)
        self._refreshing = Group()

    def first(self) -> Values:
        """The values of every hook, in the order of their definition.

        Raises ScenarioError for one that fails or gives something else, NoAnswer where its last
        request was not answered.
        """
        found: Values = {}
        for model, hook in self._all():
            mine = found.setdefault(model.population, {})
            mine |= self._values(model, hook, mine)
        return found

    def keep(
        self, give: Callable[[Values], None], report: Callable[[FailureExample], None]
    ) -> None:
        """Begin to renew what is to be renewed; `report` gets an example of each failure."""
        for model, hook in self._all():
            if hook.refresh_s is not None:
                self._refreshing.spawn(self._refresh, model, hook, hook.refresh_s, give, report)

    def stop(self) -> None:
        """Renew nothing more."""
        self._refreshing.kill(block=False)

    def _all(self) -> Iterator[tuple[TrafficModel, Setup]]:
        return ((model, hook) for model in self._models for hook in model.setups)

    def _refresh(
        self,
        model: TrafficModel,
        hook: Setup,
        every_s: float,
        give: Callable[[Values], None],
        report: Callable[[FailureExample], None],
    ) -> None:
        wait = every_s
        while True:
            gevent.sleep(wait)
            try:
                give({model.population: self._values(model, hook, {})})
                wait = every_s
            except (HarnessError, ValueError) as problem:  # the old values stay
                wait = min(RETRY_S, max(1.0, every_s / 10))
                report({
                    "type": "failure_example", "worker": 0, "endpoint": f"setup {hook.method}",
                    "kind": "journey", "message": redact(str(problem)),
                })  # fmt: skip

    def _values(
        self, model: TrafficModel, hook: Setup, known: Mapping[str, list[str]]
    ) -> dict[str, list[str]]:
        visit = Aside(self._way)
        seen: list[tuple[str, int, object]] = []

        def heard(
            name: str, exception: object, response: Any = None, context: Any = None, **_: object
        ) -> None:
            if (context or {}).get(STEP, (None,))[0] is visit:
                seen.append((name, getattr(response, "status_code", 0) or 0, exception))

        first = {name: texts[0] for name, texts in known.items()}
        user = visitor(user_of(self._environment, model), self._environment, visit, first)
        heard_of = self._environment.events.request
        heard_of.add_listener(heard)
        try:
            with gevent.Timeout(LONGEST_S) as limit:
                given = getattr(user, hook.method)()
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001 - a team's code
            what = "took too long" if error is limit else _raised(error)
            raise self._failure(model, hook, what, error, seen) from None
        finally:
            heard_of.remove_listener(heard)
        where = f"{model.source}: the setup {hook.method}"
        found = _texts(where, hook, given)
        register(text for texts in found.values() for text in texts)
        for name, texts in found.items():
            if _in_header(model, name) and not all(map(str.isprintable, texts)):
                raise ScenarioError(f"{where}: {name} is what a header cannot hold", "strip it")
        return found

    def _failure(
        self,
        model: TrafficModel,
        hook: Setup,
        what: str,
        error: BaseException,
        seen: list[tuple[str, int, object]],
    ) -> HarnessError:
        """What the hook raised, and what became of its last request."""
        problem = f"{self._failures.place(error) or model.source}: the setup {hook.method} {what}"
        name, status, exception = seen[-1] if seen else ("", 0, None)
        silent = isinstance(error, gevent.Timeout) or (seen and not status)
        if silent:
            because = f" to {name}: {exception}" if exception else ""
            problem += f"; it got no answer{because}"
            return NoAnswer(redact(problem), "start the service, or correct its URL")
        if status:
            problem += f", after {name} answered {status}"
        return ScenarioError(redact(problem), "correct it; no load was sent")


def _raised(error: BaseException) -> str:
    words = " ".join(str(error).split())[:200]
    return f"raised {type(error).__name__}" + (f": {words}" if words else "")


def _in_header(model: TrafficModel, feed: str) -> bool:
    values = (value for request in model.templates for _, value in request.headers)
    return any(f"{{{feed}}}" in value for value in values)


def _texts(where: str, hook: Setup, given: object) -> dict[str, list[str]]:
    """The values as texts. Raises ScenarioError for a feed without one."""
    if not isinstance(given, dict) or set(given) != set(hook.feeds):
        got = f"the keys {sorted(map(str, given))}" if isinstance(given, dict) else (
            type(given).__name__
        )  # fmt: skip
        raise ScenarioError(
            f"{where} returned {got}", f"return a dictionary with {', '.join(hook.feeds)}"
        )
    found = {}
    for name, value in given.items():
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if not values or not all(isinstance(v, (str, int, float)) for v in values):
            raise ScenarioError(
                f"{where}: {name} is {type(value).__name__ if values else 'empty'}",
                "give a text, a number or a list of them",
            )
        found[name] = [json_text(each) for each in values]
    return found
