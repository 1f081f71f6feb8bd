"""An experiment guarded by an alert: once it fires, the fault is undone."""

from __future__ import annotations

import re
import time
from typing import Literal

from harness.chaos.model import Experiment
from harness.errors import ExperimentError
from harness.periodic import Periodic
from harness.prometheus import Alertmanager, Prometheus, PrometheusError
from harness.session.options import RunOptions

PERIOD_S = 1.0
BLIND_S = 15.0
"""Without an answer for so long nobody guards the experiment any more: an answer may take ten."""

_NAME = re.compile(r"[A-Za-z_]\w*")

StopKind = Literal["abort", "halt"]
Stop = tuple[StopKind, str]
"""`abort` where the fault made the alert fire, else `halt`, and a sentence's end that says why."""


class Alert:
    """A condition and the server that is asked for it.

    A Prometheus is asked for the alert of that name, or, where it is no name, for an expression
    that holds while it has a series, as in a rule of alerting. An Alertmanager knows names only.
    """

    def __init__(self, condition: str, server: Prometheus | Alertmanager) -> None:
        self.condition = condition
        self._server = server

    def __str__(self) -> str:
        named = isinstance(self._server, Alertmanager) or _NAME.fullmatch(self.condition)
        return f"the alert {self.condition}" if named else f"the condition `{self.condition}`"

    def fires(self) -> bool:
        """Whether it does now; raises PrometheusError."""
        if isinstance(self._server, Alertmanager):
            return self._server.fires(self.condition)
        query = self.condition
        if _NAME.fullmatch(query):
            query = f'ALERTS{{alertname="{query}",alertstate="firing"}}'
        return self._server.holds(query)


def alert_of(experiment: Experiment, options: RunOptions) -> Alert | None:
    """What guards the experiment: what the command line names, else its file; None: no alert.

    Raises ExperimentError where there is nobody to ask, UsageError for what is no URL.
    """
    asked = options.stop_on_alert
    condition = experiment.guards.alert if asked is None else asked
    if condition is None and options.alertmanager is None:
        return None
    if condition is None or not condition.strip():  # an unset variable must not mean "unguarded"
        raise ExperimentError(
            f"{experiment.path}: no alert is named that guards it", "add --stop-on-alert NAME"
        )
    server = Alertmanager.at(options.alertmanager) or Prometheus.at(options.prometheus)
    if server is None:
        raise ExperimentError(
            f"{experiment.path}: nobody is named who knows of {condition!r}",
            "add --prometheus URL or --alertmanager URL",
        )
    return Alert(condition, server)


def check_alert(experiment: Experiment, options: RunOptions) -> None:
    """Raise ExperimentError where the alert cannot be asked for, or fires before anything is done.

    Without a guard that sees, or with one that has been broken already, nothing is begun.
    """
    alert = alert_of(experiment, options)
    try:
        if alert is None or not alert.fires():
            return
    except PrometheusError as problem:
        raise ExperimentError(
            f"{experiment.name}: {alert} cannot guard it: {problem}", "mend that, or leave it out"
        ) from None
    raise ExperimentError(f"{experiment.name}: {alert} fires already", "wait until it does not")


def guard_of(experiment: Experiment, options: RunOptions) -> AlertGuard:
    """The guard of an experiment, which asks nobody where it has no alert. Raises as `alert_of`."""
    return AlertGuard(alert_of(experiment, options))


class AlertGuard(Periodic):
    """Asks every second beside the experiment whether an alert fires; a context manager."""

    def __init__(self, alert: Alert | None) -> None:
        super().__init__(self._ask, PERIOD_S, PERIOD_S)
        self._alert = alert
        self._fired = False
        self._seen = time.monotonic()
        self._problem = "it did not answer"

    def _ask(self) -> None:
        if self._alert is None:
            return
        try:
            self._fired |= self._alert.fires()
            self._seen = time.monotonic()
        except PrometheusError as problem:
            self._problem = str(problem)

    def stop(self, *, injected: bool) -> Stop | None:
        """Why the experiment must end; None while it need not."""
        if self._alert is None:
            return None
        if self._fired and injected:
            return "abort", f"{self._alert} fired"
        if self._fired:
            return "halt", f"halted before its fault, since {self._alert} fired"
        if time.monotonic() - self._seen > BLIND_S:
            blind = f"{self._alert} could not be asked for in {BLIND_S:g} s ({self._problem})"
            return "halt", f"halted, since {blind}"
        return None
