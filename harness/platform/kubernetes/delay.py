"""Holds packets for a while and lets them go on: a longer way between two places.

A rule of iptables hands the packets to this process (NFQUEUE), which gives each its verdict when
its time has come. So no kernel module for delays is needed (netem is often left out), and nothing
can be left behind that delays: once the process is gone, the rules let everything pass
(`--queue-bypass`). Messages as in linux/netfilter/nfnetlink_queue.h. Standard library only.
"""

import contextlib
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

CHAIN = "CODAI-HARNESS"
"""The first part of the name of a link's own chain."""

HOOKS = ("INPUT", "POSTROUTING")
"""A packet that a node takes, sends or forwards passes one of them, once."""

TUNNELS = {"udp": (4789, 8472, 6081, 51820, 51821), "protocols": (4, 41, 47)}
"""What carries pods' packets between nodes on an overlay (VXLAN, Geneve, WireGuard; IPIP, GRE):
what is drawn or held by pods' addresses must not be so again by their nodes'."""

PROGRAMS = {"ip": "iptables", "ip6": "ip6tables"}
BOUND = Path("/proc/self/net/netfilter/nfnetlink_queue")

_MOST_HELD = 1 << 17
_BUFFER_BYTES = 1 << 24
_NETLINK_NETFILTER, _SOL_NETLINK, _NO_ENOBUFS, _RCVBUFFORCE = 12, 270, 5, 33
_SUBSYSTEM = 3 << 8
_PACKET, _CONFIG, _BATCH = _SUBSYSTEM, _SUBSYSTEM | 2, _SUBSYSTEM | 3
_ERROR, _REQUEST, _ACK = 2, 1, 4
_BIND, _ONLY_HEADERS, _ACCEPT = 1, 1, 1
_FAIL_OPEN, _WHOLE_BURSTS = 1, 4


def family(address: str) -> str:
    """The word of nft for an address or subnet."""
    return "ip6" if ":" in address else "ip"


def chain(mark: str) -> str:
    """The name of a link's chain; `mark` is eight hexadecimal digits, another for each link."""
    return f"{CHAIN}-{mark}"


def queue(mark: str) -> int:
    """The number of a link's queue: the kernel has 65,536 of them, the first are other people's."""
    return 1024 + int(mark, 16) % (65_536 - 1024)


def rules(near: Sequence[str], far: Sequence[str], of: str, mark: str) -> str:
    """What `iptables-restore` reads: every packet between them, either way, is handed over."""
    ways = [
        (source, target)
        for a in near
        for b in far
        if family(a) == family(b) == of
        for source, target in ((a, b), (b, a))
    ]
    taken = f"-j NFQUEUE --queue-num {queue(mark)} --queue-bypass"
    own = chain(mark)
    lines = [f"-A {own} -s {source} -d {target} {taken}" for source, target in ways]
    udp = [f"-A {own} -p udp --dport {port} -j RETURN" for port in TUNNELS["udp"]]
    others = [f"-A {own} -p {number} -j RETURN" for number in TUNNELS["protocols"]]
    lines = [*udp, *others, *lines]
    hooks = [f"-I {hook} -j {own}" for hook in HOOKS]
    return "\n".join(["*mangle", f":{own} - [0:0]", *lines, *hooks, "COMMIT", ""])


def add_rules(near: Sequence[str], far: Sequence[str], mark: str) -> None:
    """Hand packets between them over; raises OSError with the words of iptables."""
    for of in {family(a) for a in near} & {family(b) for b in far}:
        command = [f"{PROGRAMS[of]}-restore", "--noflush", "--wait", "5"]
        done = subprocess.run(
            command, input=rules(near, far, of, mark), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(f"{command[0]}: {done.stderr.strip()}")


def remove_rules(mark: str) -> None:
    """Take the link's rules away; idempotent."""
    own = chain(mark)
    for program in PROGRAMS.values():
        for hook in HOOKS:
            while _run(program, "-D", hook, "-j", own):
                continue
        if _run(program, "-F", own):
            _run(program, "-X", own)


def has_rules(mark: str) -> bool:
    """Whether the link's chain is in the node's network."""
    return any(_run(program, "-S", chain(mark)) for program in PROGRAMS.values())


def _run(program: str, *words: str) -> bool:
    command = [program, "--wait", "5", "--table", "mangle", *words]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


def handed_over(mark: str) -> int | None:
    """How many packets were handed over so far; None where nobody takes them."""
    for line in BOUND.read_text().splitlines():
        fields = line.split()
        if fields[0] == str(queue(mark)):
            return int(fields[7])
    return None


class Holder:
    """Takes the packets that are handed over, and lets each go on after `delay_s`.

    In order, so that nothing overtakes. Raises OSError where the kernel gives no queue.
    """

    def __init__(self, delay_s: float, mark: str) -> None:
        self._delay_s = delay_s
        self._queue = queue(mark)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
        self._socket.bind((0, 0))
        flags = _FAIL_OPEN | _WHOLE_BURSTS
        self._tell(_CONFIG, _attribute(1, struct.pack("!BxH", _BIND, 0)))
        self._tell(_CONFIG, _attribute(2, struct.pack("!IB", 0, _ONLY_HEADERS)))
        self._tell(_CONFIG, _attribute(3, struct.pack("!I", _MOST_HELD)))
        changed = _attribute(4, struct.pack("!I", flags)) + _attribute(5, struct.pack("!I", flags))
        self._tell(_CONFIG, changed)
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let everything that is held go on, and take no more."""
        os.close(self._woken)
        self._thread.join()
        os.close(self._wake)
        self._socket.close()

    def _tell(self, kind: int, attributes: bytes) -> None:
        self._socket.send(self._message(kind, _REQUEST | _ACK, attributes))
        for found, body in _messages(self._socket.recv(1 << 16)):
            if found == _ERROR:
                code = -struct.unpack_from("=i", body)[0]
                if code:
                    raise OSError(code, f"no packet queue: {os.strerror(code)}")

    def _hold(self) -> None:
        held: deque[tuple[float, int]] = deque()
        while True:
            wait = max(held[0][0] - time.monotonic(), 0.0) if held else None
            readable, _, _ = select.select([self._socket.fileno(), self._wake], [], [], wait)
            if self._wake in readable:
                self._release(held[-1][1] if held else None)
                return
            if self._socket.fileno() in readable:
                due = time.monotonic() + self._delay_s
                held.extend((due, number) for number in _packets(self._socket.recv(1 << 16)))
            last, now = None, time.monotonic()
            while held and held[0][0] <= now:
                last = held.popleft()[1]
            self._release(last)

    def _release(self, last: int | None) -> None:
        """Let all packets up to this one go on."""
        if last is not None:
            verdict = _attribute(2, struct.pack("!II", _ACCEPT, last))
            with contextlib.suppress(OSError):  # it was let go by the kernel itself
                self._socket.send(self._message(_BATCH, _REQUEST, verdict))

    def _message(self, kind: int, flags: int, attributes: bytes) -> bytes:
        body = struct.pack("!BBH", socket.AF_UNSPEC, 0, self._queue) + attributes
        return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("=HH", size, kind) + value + bytes(-size % 4)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each netlink message."""
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + size]
        at += max((size + 3) & ~3, 16)


def _packets(data: bytes) -> Iterator[int]:
    """The number of each packet that was handed over."""
    for kind, body in _messages(data):
        at = 4
        while kind == _PACKET and at + 4 <= len(body):
            size, attribute = struct.unpack_from("=HH", body, at)
            if attribute & 0x7FFF == 1:
                yield struct.unpack_from("!I", body, at + 4)[0]
                break
            at += max((size + 3) & ~3, 4)
