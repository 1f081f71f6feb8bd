"""What an agent can do on its node: each action with its undo and what shows that it holds.

Standard library only, as all of an agent.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.platform.envoy import ADMIN_PORTS, Admin
from harness.platform.kubernetes import delay
from harness.platform.kubernetes.packets import ALIVE_S, TABLE, has_table, met, nft
from harness.platform.kubernetes.relay import Relay
from harness.units import counted

STOP_S = 5.0
"""How long a stop is waited for; a process that waits for its disk may take longer, and is counted
when it has stopped."""

UNDO_S = 5.0
"""How long an undo is tried again where it still shows."""

ENVOY_UNDO_S = 45.0
"""The same of an Envoy, which may be busy; one that has ended has forgotten it."""

RUNTIME_NAMES = frozenset(
    {
        "kubelet",
        "containerd",
        "crio",
        "dockerd",
        "kube-proxy",
        "k3s-agent",
        "k3s-server",
        "kubelite",
    }
)


def processes() -> Iterator[tuple[int, str, str]]:
    """(pid, name, cgroup path) of every process of the node."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                name = (entry / "comm").read_text().strip()
                yield int(entry.name), name, (entry / "cgroup").read_text()


def pod_processes(uids: Sequence[str]) -> list[int]:
    """The processes of pods; a cgroup's name has the UID with dashes or underscores."""
    wanted = [form for uid in uids for form in (uid, uid.replace("-", "_"))]
    return [
        pid
        for pid, name, cgroup in processes()
        if name != "pause" and any(uid in cgroup for uid in wanted)
    ]


def node_processes(own_uid: str) -> list[int]:
    """Everything that makes the node a node: its agents and all pods but this one."""
    own = {own_uid, own_uid.replace("-", "_")}
    return [
        pid
        for pid, name, cgroup in processes()
        if not any(uid in cgroup for uid in own)
        and (name in RUNTIME_NAMES or "kubepods" in cgroup)
        and not name.startswith("containerd-shim")
    ]


def state(pid: int) -> str:
    """The kernel's letter for what a process does; X where there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    return state(pid) in {"T", "t"}


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """A signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass
class Action:
    """One fault on this node."""

    do: Callable[[], None]
    undo: Callable[[], None]
    shows: Callable[[], tuple[bool, str]]
    check: Callable[[], None] = lambda: None
    """Raises OSError where the undo will not be possible, before anything is done."""

    foreign: bool = False
    """Whether another does it: it is undone though this process never began it."""

    undo_s: float = UNDO_S
    begun: bool = False
    keep: Callable[[], None] = lambda: None
    """Says to whoever would end it by itself that it holds on."""


def stop(pids: Sequence[int]) -> None:
    """Stop processes and wait for it: on a busy node a signal takes until they run next."""
    send(pids, signal.SIGSTOP)
    until = time.monotonic() + STOP_S
    while time.monotonic() < until and not all(state(pid) in {"T", "t", "X", "Z"} for pid in pids):
        time.sleep(0.01)


def pause(find: Callable[[], list[int]], what: str) -> Action:
    """Stop the processes that are there; continue these and what is there then."""
    held: set[int] = set()

    def do() -> None:
        pids = find()
        if not pids:
            raise OSError(f"no process of {what} on this node")
        held.update(pids)
        stop(pids)

    def undo() -> None:
        held.update(find())
        send([*held], signal.SIGCONT)

    def shows() -> tuple[bool, str]:
        stopped = [pid for pid in held if is_stopped(pid)]
        return bool(stopped), f"stopped: {counted(len(stopped), 'process', 'processes')} of {what}"

    return Action(do, undo, shows)


def kill_node(own_uid: str, node: str) -> Action:
    """Stop what would restart them, then kill all pods but this one: a node without power."""
    runtime: set[int] = set()

    def of_node() -> tuple[list[int], list[int]]:
        found = node_processes(own_uid)
        named = {pid for pid, name, _ in processes() if name in RUNTIME_NAMES}
        return [pid for pid in found if pid in named], [pid for pid in found if pid not in named]

    def do() -> None:
        agents, pods = of_node()
        runtime.update(agents)
        stop(agents)
        send(pods, signal.SIGKILL)

    def shows() -> tuple[bool, str]:
        stopped = [pid for pid in runtime if is_stopped(pid)]
        return bool(stopped), f"{len(stopped)} agents of {node} are stopped, its pods were killed"

    def undo() -> None:
        runtime.update(of_node()[0])
        send([*runtime], signal.SIGCONT)

    return Action(do, undo, shows)


def packets(mark: str, chains: Callable[[], str], what: str, verb: str = "dropped") -> Action:
    """Drop or reset packets by rules of a table of its own; established connections included.

    Its rules ask for an element of the set `alive`, which the kernel takes away when nobody renews
    it: they meet nothing then.
    """
    table = f"{TABLE}_{mark}"
    lives = f"{{ ipv4 timeout {ALIVE_S}s, ipv6 timeout {ALIVE_S}s }}"

    def undo() -> None:
        nft(f"add table inet {table}\ndelete table inet {table}\n")

    def do() -> None:
        undo()
        alive = f"set alive {{ typeof meta nfproto; flags timeout; elements = {lives} }}"
        nft(f"table inet {table} {{\n{alive}\n{chains()}\n}}\n")

    def keep() -> None:
        nft(f"flush set inet {table} alive\nadd element inet {table} alive {lives}\n")

    def shows() -> tuple[bool, str]:
        if not has_table(table):
            return False, f"{what} is not {verb}"
        return True, f"{what} is {verb}: {met(table)} packets so far"

    return Action(do, undo, shows, keep=keep)


def delaying(mark: str, near: Sequence[str], far: Sequence[str], delay_s: float) -> Action:
    """Let every packet between two sides wait, either way."""
    holders: list[delay.Holder] = []

    def undo() -> None:
        delay.remove_rules(mark)
        while holders:
            holders.pop().close()

    def do() -> None:
        undo()
        holders.append(delay.Holder(delay_s, mark))
        delay.add_rules(near, far, mark)

    def shows() -> tuple[bool, str]:
        count = delay.handed_over(mark)
        if count is None:
            return delay.has_rules(mark), "nothing between them waits"
        return (
            True,
            f"packets between them wait {delay_s:g} s each way: {counted(count, 'packet')} so far",
        )

    return Action(do, undo, shows, check=lambda: delay.Holder(delay_s, mark).close())


class Envoys:
    """What the fault filters of the pods' Envoys do; one that is new has forgotten it."""

    def __init__(self, uids: Sequence[str], values: Mapping[str, str], port: int | None) -> None:
        self._uids = uids
        self._values = values
        self._ports = ADMIN_PORTS if port is None else (port,)

    def action(self) -> Action:
        """Set the values, also on an Envoy that was restarted meanwhile, and take them away."""
        return Action(
            self._do, self._undo, self._shows, self._check, undo_s=ENVOY_UNDO_S, keep=self._do
        )

    def _pids(self) -> list[int]:
        found = {pid for pid, name, _ in processes() if name == "envoy"}
        return [pid for pid in pod_processes(self._uids) if pid in found]

    def _check(self) -> None:
        if not self._pids():
            raise OSError("no process envoy in the pods on this node")
        for pid in self._pids():
            Admin(pid, self._ports).check(self._values)

    def _do(self) -> None:
        for admin in (Admin(pid, self._ports) for pid in self._pids()):
            if not self._values.items() <= admin.values().items():
                admin.set(self._values)

    def _undo(self) -> None:
        """Each by itself: one that does not answer keeps no other from being asked."""
        problems = []
        for pid in self._pids():
            try:
                Admin(pid, self._ports).set(dict.fromkeys(self._values, ""))
            except OSError as problem:
                if state(pid) not in {"X", "Z"}:
                    problems.append(problem)
        if problems:
            raise problems[0]

    def _shows(self) -> tuple[bool, str]:
        asked = [Admin(pid, self._ports) for pid in self._pids()]
        count = sum(self._values.items() <= each.values().items() for each in asked)
        injected = sum(each.injected() for each in asked)
        return count > 0, f"{count} Envoys inject it: {injected} times so far"


def burn(workers: int, megabytes: int, what: str) -> Action:
    """Busy processes, or one that takes memory and keeps touching it."""
    made: list[subprocess.Popen[bytes]] = []
    busy = "while True: pass"
    greedy = (
        f"import time\nheld = [bytearray(1 << 20) for _ in range({megabytes})]\n"
        "while True:\n for part in held: part[::4096] = bytes(len(part) // 4096)\n time.sleep(0.05)"
    )

    def do() -> None:
        scripts = [busy] * workers + ([greedy] if megabytes else [])
        made.extend(subprocess.Popen([sys.executable, "-c", script]) for script in scripts)

    def undo() -> None:
        for each in made:
            each.kill()
            each.wait()

    def shows() -> tuple[bool, str]:
        alive = sum(each.poll() is None for each in made)
        return alive > 0, f"{alive} processes press on {what}"

    return Action(do, undo, shows)


def fill_disk(path: str, megabytes: int) -> Action:
    """A file that takes disk space of the node."""
    file = Path(path) / f"{TABLE}.fill"

    def do() -> None:
        with file.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, megabytes << 20)

    def shows() -> tuple[bool, str]:
        there = file.exists()
        return there, f"{file} {'takes' if there else 'does not take'} {megabytes} MB"

    return Action(do, lambda: file.unlink(missing_ok=True), shows)


def relay(host: str, port: int) -> Action:
    """A way from this pod's network to an address, for whoever connects."""
    servers: list[Relay] = []

    def do() -> None:
        servers.append(Relay((host, port)))
        threading.Thread(target=servers[0].serve_forever, daemon=True).start()

    def undo() -> None:
        while servers:
            server = servers.pop()
            server.shutdown()
            server.server_close()

    def shows() -> tuple[bool, str]:
        return bool(
            servers
        ), f"{host}:{port} {'can' if servers else 'cannot'} be reached through it"

    return Action(do, undo, shows)
