"""How long a long way really is, and what it costs: `python -m benchmarks.chaos.long_way`.

Three network namespaces on this machine: a client, a router that makes the way long, a server. Peer
in the same run: netem, where the kernel has it. As root on Linux.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.run import machine, table, write

TITLE = "10. A long way between two places"
MARK = "0badcafe"
DELAY_S = 0.05
MEGABYTES = 200
CLIENT, ROUTER, SERVER = "way-client", "way-router", "way-server"
SETUP = f"""
ip netns add {CLIENT}; ip netns add {ROUTER}; ip netns add {SERVER}
ip link add c netns {CLIENT} type veth peer name c netns {ROUTER}
ip link add s netns {SERVER} type veth peer name s netns {ROUTER}
ip -n {CLIENT} addr add 10.99.1.2/24 dev c; ip -n {ROUTER} addr add 10.99.1.1/24 dev c
ip -n {SERVER} addr add 10.99.2.2/24 dev s; ip -n {ROUTER} addr add 10.99.2.1/24 dev s
for place in {CLIENT} {ROUTER} {SERVER}; do ip -n $place link set lo up; done
ip -n {CLIENT} link set c up; ip -n {SERVER} link set s up
ip -n {ROUTER} link set c up; ip -n {ROUTER} link set s up
ip -n {CLIENT} route add default via 10.99.1.1; ip -n {SERVER} route add default via 10.99.2.1
ip netns exec {ROUTER} sysctl -qw net.ipv4.ip_forward=1
"""
ANSWERS = """
import socket, threading
def serve(client):
    while data := client.recv(1 << 20):
        if data.endswith(b"?"):
            client.sendall(b"!")
    client.close()
server = socket.create_server(("10.99.2.2", 9))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],)).start()
"""
ASKS = f"""
import json, socket, time
asked = socket.create_connection(("10.99.2.2", 9), 10)
asked.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
took = []
for _ in range(40):
    began = time.monotonic()
    asked.sendall(b"?")
    asked.recv(1)
    took.append(time.monotonic() - began)
asked.settimeout(60)
began = time.monotonic()
asked.sendall(bytes({MEGABYTES} * 10**6))
asked.shutdown(socket.SHUT_WR)
asked.recv(1)
print(json.dumps([took, time.monotonic() - began]))
"""
HOLDS = f"""
import resource, sys
from harness.platform.kubernetes import delay
holder = delay.Holder({DELAY_S}, "{MARK}")
delay.add_rules(["10.99.1.0/24"], ["10.99.2.0/24"], "{MARK}")
print("ready", flush=True)
sys.stdin.readline()
packets = delay.handed_over("{MARK}")
used = resource.getrusage(resource.RUSAGE_SELF)
delay.remove_rules("{MARK}")
holder.close()
print(packets, used.ru_utime + used.ru_stime, flush=True)
"""


def within(place: str, *words: str) -> list[str]:
    """A command in one of the namespaces."""
    return ["ip", "netns", "exec", place, *words]


@contextmanager
def places() -> Iterator[None]:
    """The three namespaces, with a server that answers."""
    subprocess.run(["sh", "-ec", SETUP], check=True)
    server = subprocess.Popen(within(SERVER, sys.executable, "-c", ANSWERS))
    time.sleep(0.5)
    try:
        yield
    finally:
        server.kill()
        server.wait()
        for place in (CLIENT, ROUTER, SERVER):
            subprocess.run(["ip", "netns", "del", place], check=False)


def asked() -> tuple[float, float, float]:
    """Median and 95th percentile of a round trip, and the seconds of the transfer."""
    words = within(CLIENT, sys.executable, "-c", ASKS)
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    took, transfer = json.loads(done.stdout)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1], transfer


def held() -> tuple[list[str], str]:
    """A row, and what a packet costs."""
    holder = subprocess.Popen(
        within(ROUTER, sys.executable, "-c", HOLDS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if holder.stdout is None or holder.stdin is None:
        raise RuntimeError("no pipes")
    holder.stdout.readline()
    found = asked()
    out, _ = holder.communicate("\n", timeout=30)
    packets, seconds = out.split()
    return row("held by the agent", found), (
        f"{int(packets):,} packets were handed over for {float(seconds):.2f} s of processor time, "
        f"start included: {float(seconds) / int(packets) * 1e6:.0f} us each at most."
    )


def by_netem() -> list[str] | None:
    """A row, or None where the kernel has no netem."""
    words = ["qdisc", "add", "dev", "{}", "root", "netem", "delay", f"{DELAY_S * 1e3:g}ms"]
    for link in ("c", "s"):
        command = within(ROUTER, "tc", *(word.format(link) for word in words))
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
    return row("netem", asked())


def row(name: str, found: tuple[float, float, float]) -> list[str]:
    """A line of the table."""
    median, late, transfer = found
    return [name, f"{median * 1e3:.1f} ms", f"{late * 1e3:.1f} ms", f"{transfer:.1f} s"]


def main() -> None:
    """Measure and write the section."""
    with places():
        rows = [row("as it is", asked())]
        found, cost = held()
        rows.append(found)
        peer = by_netem()
    if peer is not None:
        rows.append(peer)
    header = ("way", "round trip, median", "p95", f"{MEGABYTES} MB by one connection")
    told = "" if peer is not None else " This kernel has no netem to stand beside it."
    write(
        TITLE,
        f"{machine()}\n\nAsked for: {DELAY_S * 1e3:g} ms each way, so {2 * DELAY_S * 1e3:g} ms a "
        f"round trip. {cost}{told}\n\n{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
