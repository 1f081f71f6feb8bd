"""Packets that are held: for as long as was asked, and not by anybody who is gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.platform.kubernetes import delay
from harness.platform.kubernetes.packets import between_chains

MARK = "0000beef"
SCRIPT = """
import os, signal, socket, statistics, subprocess, sys, threading, time
from harness.platform.kubernetes import delay

MARK = "0000beef"
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.2", 9000))

def answering():
    while True:
        client = server.accept()[0]
        while client.recv(1):
            client.sendall(b"!")
threading.Thread(target=answering, daemon=True).start()

def round_trip():
    with socket.create_connection(("127.0.0.2", 9000), 5) as asked:
        asked.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        took = []
        for _ in range(5):
            began = time.monotonic()
            asked.sendall(b"?")
            asked.recv(1)
            took.append(time.monotonic() - began)
        return statistics.median(took)

sound = round_trip()
holder = os.fork()
if not holder:
    delay.Holder(0.02, MARK)
    delay.add_rules(["127.0.0.0/31"], ["127.0.0.2"], MARK)
    signal.pause()
while not delay.has_rules(MARK):
    time.sleep(0.05)
delayed, count = round_trip(), delay.handed_over(MARK)
os.kill(holder, signal.SIGKILL)
os.waitpid(holder, 0)
left = delay.has_rules(MARK)
after = round_trip()
delay.remove_rules(MARK)
print(sound, delayed, count, left, after, delay.has_rules(MARK), delay.handed_over(MARK))
"""


def alone(script: str) -> list[str]:
    """The words that a script prints, run in a network of its own."""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own takes root")
def test_a_holder_that_is_killed_holds_nothing_any_more() -> None:
    """The rules that it leaves let everything pass, until they are taken away."""
    sound, delayed, count, left, after, remains, taken = alone(SCRIPT)
    # On a loopback every packet leaves and comes in on the same node: it is held twice.
    assert float(delayed) >= 4 * 0.02 > float(sound)
    assert int(count) > 10
    assert left == "True"
    assert float(after) < 0.02
    assert (remains, taken) == ("False", "None")


EXPIRES = """
import socket, subprocess, time
from harness.platform.kubernetes import actions, packets

actions.ALIVE_S = 2
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.2", 9000))

def reaches():
    try:
        socket.create_connection(("127.0.0.2", 9000), 0.3).close()
    except TimeoutError:
        return False
    return True

chains = lambda: packets.between_chains(["127.0.0.1"], ["127.0.0.2"])
cut = actions.packets("0000beef", chains, "it")
told = [reaches()]
cut.do()
told.append(reaches())
for _ in range(4):
    cut.keep()
    time.sleep(1)
told += [reaches(), cut.shows()[0]]
time.sleep(2.5)
told += [reaches(), cut.shows()[0]]
cut.undo()
told.append(cut.shows()[0])
print(*told)
"""


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own takes root")
def test_a_cut_ends_by_itself_when_its_agent_says_nothing_any_more() -> None:
    """The kernel takes away what its rules ask for, though the rules are still there."""
    before, cut, kept, shown, expired, left, undone = alone(EXPIRES)
    assert (before, cut) == ("True", "False")
    assert (kept, shown) == ("False", "True"), "renewed"
    assert (expired, left) == ("True", "True")
    assert undone == "False"


def test_rules_name_both_ways_and_never_mix_kinds_of_addresses() -> None:
    text = delay.rules(["10.0.0.1", "fd00::1"], ["10.1.0.0/16"], "ip", MARK)
    assert text.count("-s 10.0.0.1 -d 10.1.0.0/16") == 1
    assert text.count("-s 10.1.0.0/16 -d 10.0.0.1") == 1
    assert "fd00" not in text
    assert text.count("--queue-bypass") == 2


def test_a_cut_of_large_regions_is_two_rules_a_hook() -> None:
    """However many nodes there are: each packet meets them all."""
    near = ["10.0.0.1", "10.244.0.0/24"]
    far = [f"10.{n}.0.0/16" for n in range(50, 150)]
    text = between_chains(near, [*far, "fd00::/64"])
    assert text.count("counter drop") == 2 * 3
    assert "ip6" not in text
