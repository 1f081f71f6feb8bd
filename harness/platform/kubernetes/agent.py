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

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.platform.envoy import ADMIN_PORTS, Admin
from harness.platform.kubernetes import delay
from harness.platform.kubernetes.delay import TUNNELS, family
from harness.platform.kubernetes.relay import Relay

POLL_S = 0.5
BLIND_S = 20.0
"""How long the lease may be unreadable before the fault is undone all the same."""

STALE_S = 20.0
"""How old a lease's last renewal may be: a harness that lives renews it every few seconds."""

STOP_S = 5.0
"""How long a stop is waited for; a process that waits for its disk may take longer, and is counted
when it has stopped."""

UNDO_S = 5.0
"""How long an undo is tried again where it still shows."""

PUT_BACK_S = 300.0
"""The same of an undo by the API: the server that it takes may be what is down."""

ENVOY_UNDO_S = 45.0
"""The same of an Envoy, which may be busy; a process that has ended has forgotten it."""

LAST_WORDS_S = 16.0
"""How long an agent that is done waits for its word to reach the API server."""

ALIVE_S = 20
"""How long packet rules hold without a word of their agent: the kernel ends them by itself."""

LOOK_S = 2.0
"""How often an agent says that its fault holds on, and looks whether it still does."""

TELL_S = 6.0
"""How often it tells what has changed in its words only, such as how many packets it met."""

AGENT_UID = 64321
"""The user whose packets a cut lets through: only the agent's own look at its lease."""

MARK = 0x5F17
TABLE = "codai_harness"
"""The first part of the name of a fault's own table."""

OWN = f"meta skuid {AGENT_UID} meta mark set {MARK} ct mark set {MARK} accept"
"""The rule that lets an agent's own look at its lease out."""

ALIVE = "meta nfproto @alive"
"""What a rule asks for that is to hold only while its agent lives."""

PARTS = 10_000
"""A share of packets is drawn in ten-thousandths."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
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

Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to do on this node; `targets` are pod UIDs or addresses, as the action needs them."""

    namespace: str
    lease: str
    node: str
    action: str
    own_uid: str
    deadline_s: float
    arguments: Json
    undo: bool = False
    """Whether another agent did it and is dead: there is only something to undo."""


# -- the node ------------------------------------------------------------------------------------


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


def nft(script: str) -> str:
    """Run an nft script; raises OSError with its words."""
    done = subprocess.run(
        ["nft", "-f", "-"], input=script, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"nft: {done.stderr.strip()}")
    return done.stdout


def has_table(name: str) -> bool:
    """Whether a table is in the node's network."""
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return name in done.stdout.split()


def mark_of(lease: str) -> str:
    """Eight digits that tell a fault's rules from those of another on the same node."""
    return f"{zlib.crc32(lease.encode()):08x}"


# -- the API server --------------------------------------------------------------------------------


class Api:
    """The cluster's API server, asked with the pod's own account."""

    def __init__(self) -> None:
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._address = os.environ.get("AGENT_API") or f"https://{host}:{port}"
        self._token = (SERVICE_ACCOUNT / "token").read_text()
        self._context = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))

    def call(
        self, method: str, path: str, body: Json | None = None, kind: str = "merge-patch"
    ) -> Json | None:
        """The answer, None where the object is gone; raises OSError with the server's words."""
        request = urllib.request.Request(  # noqa: S310 - the cluster's own API server
            self._address + path,
            data=json.dumps(body).encode() if body is not None else None,
            method=method,
            headers={
                "authorization": f"Bearer {self._token}",
                "content-type": f"application/{kind}+json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=3, context=self._context) as answer:  # noqa: S310
                found: Json = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as problem:
            if problem.code in {404, 410}:
                return None
            words = problem.read().decode(errors="replace")
            with contextlib.suppress(ValueError, AttributeError):
                words = str(json.loads(words).get("message"))
            raise OSError(f"{method} {path}: {problem.code}: {words}") from None


# -- actions: each gives (do, undo, shows) ---------------------------------------------------------


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
        return bool(stopped), f"{len(stopped)} processes of {what} are stopped"

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


def cut_chains() -> str:
    """Nothing in, out or through but loopback, neighbour discovery and the agent's own look."""
    neighbours = "icmpv6 type { 133, 134, 135, 136 } accept"
    return f"""chain out {{ type filter hook output priority -150; policy accept;
oifname "lo" accept; {neighbours}; {OWN}; {ALIVE} counter drop; }}
chain into {{ type filter hook input priority -100; policy accept;
iifname "lo" accept; {neighbours}; ct mark {MARK} accept; {ALIVE} counter drop; }}
chain through {{ type filter hook forward priority -100; policy accept; {ALIVE} counter drop; }}"""


def met(table: str) -> int:
    """How many packets the rules of a table have met."""
    words = ["nft", "-j", "list", "table", "inet", table]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"nft: {done.stderr.strip()}")
    rules = [each["rule"] for each in json.loads(done.stdout)["nftables"] if "rule" in each]
    counters = [part["counter"] for rule in rules for part in rule["expr"] if "counter" in part]
    return sum(int(counter["packets"]) for counter in counters)


def drawn(share: float) -> str:
    """The words of a rule that let it meet this share of the packets, drawn one by one."""
    return f"numgen random mod {PARTS} < {max(1, round(share * PARTS))}" if share < 1.0 else ""


def everywhere(rules: str) -> str:
    """Chains with these rules on every hook that a packet may pass here, but for our own look."""
    own = {"output": OWN, "input": f"ct mark {MARK} accept", "forward": ""}
    return "\n".join(
        f"chain {hook} {{ type filter hook {hook} priority -100; policy accept;\n"
        f"{free}\n{rules}\n}}"
        for hook, free in own.items()
    )


def between_chains(near: Sequence[str], far: Sequence[str], share: float = 1.0) -> str:
    """Drop between addresses or subnets of one side and of the other, either way, on every hook."""
    rules = [] if share == 1.0 else [tunnels_pass()]
    for word in ("ip", "ip6"):
        a, b = (", ".join(each for each in side if family(each) == word) for side in (near, far))
        if a and b:
            drop = f"{ALIVE} {drawn(share)} counter drop"
            rules.append(f"{word} saddr {{ {a} }} {word} daddr {{ {b} }} {drop}")
            rules.append(f"{word} saddr {{ {b} }} {word} daddr {{ {a} }} {drop}")
    return everywhere("\n".join(rules))


def tunnels_pass() -> str:
    """Rules that let pass what has been met, or will be, without its wrapping."""
    ports, protocols = (", ".join(map(str, numbers)) for numbers in TUNNELS.values())
    return f"udp dport {{ {ports} }} accept\nmeta l4proto {{ {protocols} }} accept"


def reset_chains(addresses: Sequence[str], port: int, share: float) -> str:
    """Answer a share of what is sent to this port of these pods by a reset."""
    meets = f"tcp dport {port} {ALIVE} {drawn(share)} counter reject with tcp reset"
    return everywhere("\n".join(f"{family(each)} daddr {each} {meets}" for each in addresses))


def name_chains(addresses: Sequence[str]) -> str:
    """Drop every question of these pods to a name server."""
    drops = "\n".join(
        f"{family(address)} saddr {address} {kind} dport 53 {ALIVE} counter drop"
        for address in addresses
        for kind in ("udp", "tcp")
    )
    chain = "chain forward { type filter hook forward priority -300; policy accept;"
    early = "chain early { type filter hook prerouting priority -300; policy accept;"
    return f"{chain}\n{drops}\n}}\n{early}\n{drops}\n}}"


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
        return True, f"what goes between them waits {delay_s:g} s each way: {count} packets so far"

    return Action(do, undo, shows, check=lambda: delay.Holder(delay_s, mark).close())


class Envoys:
    """What the fault filters of the pods' Envoys do; one that is new has forgotten it."""

    def __init__(self, uids: Sequence[str], values: dict[str, str], port: int | None) -> None:
        self._uids = uids
        self._values = values
        self._ports = ADMIN_PORTS if port is None else (port,)

    def action(self) -> Action:
        """Set the values, and take them away."""
        return Action(self._do, self._undo, self._shows, self._check, undo_s=ENVOY_UNDO_S)

    def _pids(self) -> list[int]:
        found = {pid for pid, name, _ in processes() if name == "envoy"}
        return [pid for pid in pod_processes(self._uids) if pid in found]

    def _check(self) -> None:
        if not self._pids():
            raise OSError("no process envoy in the pods on this node")
        for pid in self._pids():
            Admin(pid, self._ports).check(self._values)

    def _do(self) -> None:
        for pid in self._pids():
            Admin(pid, self._ports).set(self._values)

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


def put_back(plan: Plan) -> Action:
    """Undo a change that the harness makes by the API, where the change's mark still is."""
    api, words = Api(), plan.arguments
    kind, name, mark = words["kind"], words["name"], words["mark"]
    space = f"/apis/apps/v1/namespaces/{plan.namespace}"
    path = {"node": f"/api/v1/nodes/{name}", "deployment": f"{space}/deployments/{name}"}[kind]

    def patch(query: str = "") -> None:
        api.call("PATCH", path + query, words["patch"], "strategic-merge-patch")

    def is_marked() -> bool:
        found = api.call("GET", path) or {}
        return mark in (found.get("metadata", {}).get("labels") or {})

    def undo() -> None:
        if is_marked():
            patch()

    def shows() -> tuple[bool, str]:
        there = is_marked()
        return there, f"{kind} {name} is {'changed' if there else 'as it was'}"

    return Action(
        do=lambda: None,
        undo=undo,
        shows=shows,
        check=lambda: patch("?dryRun=All"),
        foreign=True,
        undo_s=PUT_BACK_S,
    )


def action_of(plan: Plan) -> Action:
    """The action that a plan names; raises ValueError for one that is not known."""
    words, mark = plan.arguments, mark_of(plan.lease)
    made: dict[str, Callable[[], Action]] = {
        "pause-node": lambda: pause(lambda: node_processes(plan.own_uid), plan.node),
        "kill-node": lambda: kill_node(plan.own_uid, plan.node),
        "pause-pods": lambda: pause(lambda: pod_processes(words["uids"]), "the pods"),
        "cut-node": lambda: packets(mark, cut_chains, f"everything of {plan.node}"),
        "cut-between": lambda: packets(
            mark,
            lambda: between_chains(words["near"], words["far"], words.get("share", 1.0)),
            "traffic between them",
        ),
        "reset": lambda: packets(
            mark,
            lambda: reset_chains(words["addresses"], words["port"], words["share"]),
            "what is sent to them",
            "answered by a reset",
        ),
        "cut-names": lambda: packets(
            mark, lambda: name_chains(words["addresses"]), "their name resolution"
        ),
        "delay": lambda: delaying(mark, words["near"], words["far"], words["delay_s"]),
        "envoy": lambda: Envoys(words["uids"], words["values"], words.get("admin_port")).action(),
        "burn": lambda: burn(words.get("workers", 0), words.get("megabytes", 0), plan.node),
        "put-back": lambda: put_back(plan),
        "relay": lambda: relay(words["host"], words["port"]),
        "fill-disk": lambda: fill_disk(words["path"], words["megabytes"]),
    }
    if plan.action not in made:
        raise ValueError(f"unknown action {plan.action!r}")
    return made[plan.action]()


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


def watch_parent(undo: Callable[[], None]) -> None:
    """A process of its own that undoes the fault should the agent be killed."""
    read, _write = os.pipe()
    if os.fork():
        os.close(read)  # the write end closes with us, however we end
        return
    os.closerange(3, read)
    os.closerange(read + 1, 256)  # nobody else waits for the end of what it holds
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while os.read(read, 1):
        continue
    undo()
    os._exit(0)


def speak(plan: Plan, commands: Any, answers: Any) -> None:
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
    harmless = plan.action == "relay"
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
    plan = Plan(own_uid=os.environ["AGENT_UID"], **json.loads(os.environ["AGENT_PLAN"]))
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


def _hold(plan: Plan, action: Action, heard: Any, say: Callable[[str, str], None]) -> int:
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


def _until_the_end(plan: Plan, action: Action, heard: Any, say: Callable[[str, str], None]) -> None:
    """Do it when the word comes, and look at it until the end is said."""
    told, at = ("", ""), 0.0
    try:
        action.check()
        say("ready", f"{plan.action} waits for its word")
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
