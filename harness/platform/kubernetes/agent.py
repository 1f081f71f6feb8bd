"""The harness' hand in the cluster: carries out one fault on a node, and undoes it by itself.

Run as `python -m harness.platform.kubernetes.agent` in a privileged pod with the node's processes
and network (hostPID, hostNetwork), with AGENT_PLAN as JSON in its environment. The fault holds
only while its lease does: the ConfigMap of the fault must exist, say `hold` and have been renewed
lately. The agent looks at it twice a second over the API; when it is gone, is told `heal`, is
stale, cannot be read for long, or the deadline is over, the agent undoes what it did and ends. So
a fault needs no living kubelet to end, and no living harness either. Nor a living agent: packet
rules hold only while the agent goes on saying so to the kernel, and a plan with `undo` makes an
agent of the next one that undoes what a dead one left. A change that the harness made by the API is
undone in the same way (`put-back`) by an agent that has no rights on any node.

Standard library only: it must start in a fraction of a second, on any image with Python.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

from harness.platform.kubernetes.actions import UNDO_S, Action
from harness.platform.kubernetes.agent_tasks import Api, Json, Plan, action_of
from harness.platform.kubernetes.packets import AGENT_UID
from harness.platform.undo import RelayTo

POLL_S = 0.5
BLIND_S = 20.0
"""How long the lease may be unreadable before the fault is undone all the same."""

STALE_S = 20.0
"""How old a lease's last renewal may be: a harness that lives renews it every few seconds."""

LAST_WORDS_S = 16.0
"""How long an agent that is done waits for its word to reach the API server."""

LOOK_S = 2.0
"""How often an agent says that its fault holds on, and looks whether it still does."""

TELL_S = 6.0
"""How often it tells what has changed in its words only, such as how many packets it met."""


# -- the lease ---------------------------------------------------------------------------------


class Lease:
    """The fault's ConfigMap, read and written as AGENT_UID so that a cut lets it through."""

    def __init__(self, plan: Plan) -> None:
        self._api = Api()
        self._path = f"/api/v1/namespaces/{plan.namespace}/configmaps/{plan.lease}"
        self._key = f"node-{plan.node}"

    def read(self) -> Json | None:
        """Its data; None when it is gone. Raises OSError when that cannot be told."""
        found = self._api.call("GET", self._path)
        return None if found is None else dict(found.get("data") or {})

    def tell(self, state: str, statement: str) -> bool:
        """Say what this node shows; whether it was heard. A lease that is gone needs no word."""
        value = json.dumps({"state": state, "statement": statement, "at": time.time()})
        try:
            self._api.call("PATCH", self._path, {"data": {self._key: value}})
        except OSError:
            return False
        return True


class Watch:
    """Whether the fault must end; times are this node's own, never compared with another's."""

    def __init__(self, lease: Lease, deadline_s: float, blind_s: float = BLIND_S) -> None:
        self._lease = lease
        self._blind_s = blind_s
        self._seen = self._changed = time.monotonic()
        self._deadline = self._seen + deadline_s
        self._renewed: object = None

    def look(self) -> tuple[str | None, str | None]:
        """(why it must end now or None, what its lease wishes or None)."""
        now = time.monotonic()
        if now > self._deadline:
            return "its deadline is over", None
        try:
            data = self._lease.read()
        except OSError:
            blind = now - self._seen > self._blind_s
            return ("its lease could not be read for long" if blind else None), None
        self._seen = now
        if data is None:
            return "its lease is gone", None
        if data.get("renewed") != self._renewed:
            self._renewed, self._changed = data.get("renewed"), now
        if data.get("wish") == "heal":
            return "it was told to", "heal"
        if now - self._changed > STALE_S:
            return "its lease is stale: the harness is gone", None
        return None, data.get("wish")


def leave_container() -> None:
    """Go to the cgroup of the node's first process: a runtime kills all that is in a container's.

    Where that cannot be (no rights on the node), nothing is moved.
    """
    root = Path("/proc/1/root/sys/fs/cgroup")
    with contextlib.suppress(OSError):
        for line in Path("/proc/1/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            mounted = root / controllers.removeprefix("name=")
            for place in (mounted / path.lstrip("/"), mounted):
                with contextlib.suppress(OSError):
                    (place / "cgroup.procs").write_text(str(os.getpid()))
                    break


def watch_parent(undo: Callable[[], None]) -> None:
    """A process of its own that undoes the fault should the agent be killed, container and all."""
    read, _write = os.pipe()
    if os.fork():
        os.close(read)  # the write end closes with us, however we end
        return
    os.closerange(3, read)
    os.closerange(read + 1, 256)  # nobody else waits for the end of what it holds
    os.setsid()
    leave_container()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while os.read(read, 1):
        continue
    until = time.monotonic() + UNDO_S
    while time.monotonic() < until:
        try:
            undo()
            break
        except OSError:
            time.sleep(0.1)
    os._exit(0)


def speak(plan: Plan, commands: Iterable[str], answers: TextIO) -> None:
    """The half that talks to the API server, as AGENT_UID; it ends when its parent is done."""
    lease = Lease(plan)
    os.setuid(AGENT_UID)

    def tell_all() -> None:
        for line in commands:
            state, _, statement = line.rstrip("\n").partition(" ")
            until = time.monotonic() + LAST_WORDS_S
            while not lease.tell(state, statement) and time.monotonic() < until:
                time.sleep(POLL_S)

    teller = threading.Thread(target=tell_all)
    teller.start()
    harmless = isinstance(plan.task, RelayTo)
    watch = Watch(lease, plan.deadline_s, plan.deadline_s if harmless else BLIND_S)
    told, looked = False, 0.0
    while teller.is_alive():
        why, wish = watch.look()
        if why is not None:
            print(f"end {why}", file=answers, flush=True)
            break
        if wish == "hold" and not told:
            told = True
            print("go", file=answers, flush=True)
        if told and time.monotonic() - looked > LOOK_S:
            looked = time.monotonic()
            print("look", file=answers, flush=True)
        time.sleep(POLL_S)
    teller.join()


def main() -> int:
    """Wait for the word, do it, hold it while the lease holds, undo it, prove it."""
    plan = Plan.parse(os.environ["AGENT_PLAN"], os.environ["AGENT_UID"])
    action = action_of(plan)
    to_child, from_child = os.pipe(), os.pipe()
    speaker = os.fork()
    if not speaker:
        os.close(to_child[1])
        os.close(from_child[0])
        with os.fdopen(to_child[0]) as commands, os.fdopen(from_child[1], "w") as answers:
            speak(plan, commands, answers)
        os._exit(0)
    os.close(to_child[0])
    os.close(from_child[1])
    try:
        with os.fdopen(to_child[1], "w") as tell, os.fdopen(from_child[0]) as heard:

            def say(state: str, statement: str) -> None:
                print(state, " ".join(statement.split()), file=tell, flush=True)
                sys.stderr.write(f"{plan.node}: {state}: {statement}\n")

            return _hold(plan, action, heard, say)
    finally:
        await_end(speaker)


def await_end(child: int) -> None:
    """Wait for what it still has to say: the runtime kills it when the agent has ended."""
    until = time.monotonic() + LAST_WORDS_S
    while time.monotonic() < until and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.02)


def undo(action: Action) -> tuple[bool, str]:
    """Undo, and look, until it does not show or its time is over."""
    until = time.monotonic() + action.undo_s
    while True:
        try:
            action.undo()
            shown, statement = action.shows()
        except OSError as problem:
            shown, statement = True, str(problem)
        if not shown or time.monotonic() > until:
            return shown, statement
        time.sleep(0.1)


def _hold(plan: Plan, action: Action, heard: Iterable[str], say: Callable[[str, str], None]) -> int:
    begun, failure = action.foreign or plan.undo, ""
    shown, statement = False, "it never began"
    try:
        if not plan.undo:
            _until_the_end(plan, action, heard, say)
    except (OSError, ValueError) as problem:
        failure = str(problem)
    finally:
        if begun or action.begun:
            shown, statement = undo(action)
        if shown:
            say("remains", statement)
        else:
            say("failed" if failure else "healed", failure or statement)
    return int(shown)


def _until_the_end(
    plan: Plan, action: Action, heard: Iterable[str], say: Callable[[str, str], None]
) -> None:
    """Do it when the word comes, and look at it until the end is said."""
    told, at = ("", ""), 0.0
    try:
        action.check()
        say("ready", f"{plan.task.action} waits for its word")
    except OSError as problem:
        say("failed", str(problem))
    for line in heard:
        word = line.strip().partition(" ")[0]
        if word == "end":
            return
        if word == "go":
            action.begun = True
            watch_parent(action.undo)
            action.do()
            told, at = _seen(action), time.monotonic()
            say(*told)
        elif not action.foreign:
            with contextlib.suppress(OSError, ValueError):  # the next look may tell
                action.keep()
                now = _seen(action)
                if now[0] != told[0] or (now != told and time.monotonic() - at > TELL_S):
                    told, at = now, time.monotonic()
                    say(*told)


def _seen(action: Action) -> tuple[str, str]:
    """What is said of what it shows now."""
    shown, statement = action.shows()
    return "in-effect" if shown else "no-effect", statement


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main())
