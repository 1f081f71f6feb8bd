"""A time limit for every activity that Chaos Toolkit runs; what it started ends with it."""

import contextlib
import importlib
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from chaoslib import activity as activities
from chaoslib import hypothesis, substitute
from chaoslib.exceptions import ActivityFailed, ChaosException

from harness.chaos.method import ACTIONS, Settings, has_signature
from harness.process import started_by
from harness.toolkit import Activity, Provider


def limit_activities(actions_s: float, probes_s: float) -> None:
    """Give every activity its own `timeout`, or so many seconds; injections have their own.

    Whatever it raises makes it a failed one: Chaos Toolkit would abort, and forget why.
    """
    run = activities.run_activity

    def limited(activity: Activity, configuration: Settings, secrets: Settings) -> object:
        provider = activity["provider"]
        if provider.get("module") == ACTIONS:
            return run(activity, configuration, secrets)
        call = call_of(run, activity, configuration, secrets)
        usual = probes_s if activity.get("type") == "probe" else actions_s
        try:
            return within(limit_of(activity, usual, configuration, secrets), call)
        except (ChaosException, SystemExit, KeyboardInterrupt):  # the end of the experiment
            raise
        except BaseException as problem:
            raise ActivityFailed(f"{type(problem).__name__}: {problem}") from problem

    activities.run_activity = hypothesis.run_activity = limited


def call_of(
    run: Callable[[Activity, Settings, Settings], object],
    activity: Activity,
    configuration: Settings,
    secrets: Settings,
) -> Callable[[], object]:
    """How an activity is carried out: as Chaos Toolkit does (`run`), where it can."""
    provider = activity["provider"]
    if provider["type"] == "python" and not has_signature(provider):
        return partial(_call_by_position, provider, configuration, secrets)
    return partial(run, activity, configuration, secrets)


def _call_by_position(provider: Provider, configuration: Settings, secrets: Settings) -> object:
    """Such a function takes no names: the arguments in the order of the file."""
    found = getattr(importlib.import_module(provider["module"]), provider["func"])
    arguments = substitute(provider.get("arguments") or {}, configuration, secrets)
    try:
        return found(*arguments.values())
    except Exception as problem:
        raise ActivityFailed(f"{type(problem).__name__}: {problem}") from problem


def limit_of(
    activity: Activity, usual_s: float, configuration: Settings, secrets: Settings
) -> float:
    """How long an activity may take, s: by itself, else by its provider, else as usual."""
    for given in (activity.get("timeout"), activity["provider"].get("timeout")):
        with contextlib.suppress(TypeError, ValueError):
            return float(substitute(given, configuration, secrets))
    return usual_s


def within(limit_s: float, call: Callable[[], object]) -> object:
    """What `call` gives; raises ActivityFailed where it takes longer than `limit_s` seconds.

    The processes that it started are killed then. A thread cannot be: it ends with this process.
    """
    future: Future[object] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as problem:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(problem)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        return future.result(limit_s)
    except TimeoutError:
        if future.done():
            raise
        for pid in list(started_by(f"/proc/self/task/{thread.native_id}")):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        raise ActivityFailed(f"it did not end within {limit_s:g} s") from None
