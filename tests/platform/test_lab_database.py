"""Databases and the replicas in front of them talk as they promise."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import pytest

from tests.platform.replica import HOST, free_port, running, serving

Address = tuple[str, int]
WITHIN_S = 10.0


def until(holds: Callable[[], bool]) -> None:
    """Wait until another process has come so far."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def regions(count: int, delay_s: float) -> Iterator[list[Address]]:
    """`count` databases that follow each other; gives their addresses."""
    ports = {f"r{number}": free_port() for number in range(count)}
    with ExitStack() as stack:
        for name, port in ports.items():
            peers = {n: [HOST, p] for n, p in ports.items() if n != name}
            config = {"region": name, "delay_s": delay_s, "listen": [HOST, port], "peers": peers}
            stack.enter_context(running("database", config))
        yield [(HOST, port) for port in ports.values()]


@contextmanager
def replica(address: Address) -> Iterator[httpx.Client]:
    """A client of a replica that has the whole state of its database."""
    with serving(database=list(address), bind=HOST) as client:
        until(lambda: status(client, "/ready") == 200)
        yield client


@contextmanager
def line(address: Address) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Sends a message to a database and gives the next line that comes back."""
    with socket.create_connection(address, timeout=5) as connection:
        lines = connection.makefile("r")

        def ask(message: dict[str, Any]) -> dict[str, Any]:
            connection.sendall(json.dumps(message).encode() + b"\n")
            answer: dict[str, Any] = json.loads(lines.readline())
            return answer

        yield ask


def status(client: httpx.Client, path: str) -> int:
    return client.get(path).status_code


def put(client: httpx.Client, key: str, value: object, query: str = "") -> int:
    return client.put(f"/api/memory/{key}{query}", json={"value": value}).status_code


def value(client: httpx.Client, key: str) -> object:
    """None where there is none."""
    answer = client.get(f"/api/memory/{key}")
    return answer.json()["value"] if answer.status_code == 200 else None


def count(client: httpx.Client) -> int:
    return int(client.get("/api/memory").json()["count"])


def test_an_acknowledged_write_is_found_by_the_other_replica_at_once() -> None:
    with regions(1, 0.0) as (home,), replica(home) as first, replica(home) as second:
        assert put(first, "k", "v") == 200
        assert value(second, "k") == "v"
        assert status(second, "/api/memory/unknown") == 404
        until(lambda: count(second) == 1001)
        assert count(first) == 1001
        second.delete("/api/memory/k")
        until(lambda: status(first, "/api/memory/k") == 404)


def test_a_new_replica_is_given_the_whole_state() -> None:
    """More than one message of it."""
    with regions(1, 0.0) as (home,):
        with line(home) as ask:
            writes = [[n, "/api/memory", f"k{n}", str(n), False] for n in range(5000)]
            assert len(ask({"w": writes})["a"]) == 5000
        with replica(home) as client:
            assert count(client) == 6000
            assert value(client, "k4999") == 4999


def test_a_synchronous_write_is_in_the_peer_when_it_is_acknowledged() -> None:
    with regions(2, 60.0) as (home, peer), replica(home) as here, replica(peer) as there:
        put(here, "later", 1)
        assert value(there, "later") is None
        put(here, "now", 2, "?replication=sync")
        assert value(there, "now") == 2
        assert value(there, "later") == 1, "the log keeps its order"


def test_the_lag_of_each_peer_is_reported() -> None:
    with regions(2, 60.0) as (home, _), replica(home) as here:

        def exposes(pattern: str) -> bool:
            return re.search(pattern, here.get("/metrics").text, re.MULTILINE) is not None

        put(here, "k", 1)
        until(lambda: exposes(r'backlog_entries{service="memorai",peer="r1"} 1$'))
        until(lambda: exposes(r'lag_seconds{service="memorai",peer="r1"} 0\.\d*[1-9]'))


def test_replication_can_be_stopped_silently_and_its_delay_changed() -> None:
    with (
        regions(2, 0.0) as (home, peer),
        replica(home) as here,
        replica(peer) as there,
        line(home) as ask,
    ):
        assert ask({"set": {"stopped": True}}) == {"set": {"delay_s": 0.0, "stopped": True}}
        put(here, "k", 1)
        assert put(here, "s", 1, "?replication=sync") == 200
        time.sleep(0.3)
        assert value(there, "k") is value(there, "s") is None
        ask({"set": {"stopped": False}})
        until(lambda: value(there, "k") == value(there, "s") == 1)
        assert ask({"set": {"delay_s": 60}})["set"]["delay_s"] == 60.0
        put(here, "late", 1)
        time.sleep(0.3)
        assert value(there, "late") is None


def test_a_region_that_comes_back_has_what_its_peers_have() -> None:
    """Of every region, its own lost writes among them; it serves nobody before."""
    first, second = free_port(), free_port()

    def config(name: str, port: int, peer: str, other: int) -> dict[str, Any]:
        listen = [HOST, port]
        return {"region": name, "delay_s": 0, "listen": listen, "peers": {peer: [HOST, other]}}

    with running("database", config("b", second, "a", first)), ExitStack() as stack:
        died = stack.enter_context(running("database", config("a", first, "b", second)))
        with replica((HOST, first)) as here, replica((HOST, second)) as there:
            put(here, "a", 1, "?replication=sync")
            put(there, "b", 2, "?replication=sync")
            died.kill()
            until(lambda: status(here, "/ready") == 503)
        with (
            running("database", config("a", first, "b", second)),
            replica((HOST, first)) as again,
        ):
            assert (value(again, "a"), value(again, "b")) == (1, 2)


def test_a_replica_without_its_database_says_unavailable_and_comes_back() -> None:
    config = {"region": "r", "delay_s": 0.0, "listen": [HOST, free_port()], "peers": {}}
    with ExitStack() as stack:
        died = stack.enter_context(running("database", config))
        here = stack.enter_context(replica((HOST, config["listen"][1])))  # type: ignore[index]
        put(here, "k", 1)
        died.kill()
        until(lambda: status(here, "/ready") == 503)
        assert put(here, "k", 2) == 503
        answer = here.get("/api/memory/k")
        assert answer.json()["value"] == 1, "its copy still answers"
        assert answer.headers["connection"] == "close"
        stack.enter_context(running("database", config))
        until(lambda: status(here, "/ready") == 200)
        assert put(here, "k", 3) == 200


@pytest.mark.slow
def test_a_database_that_is_silent_fails_writes_in_time() -> None:
    """It took the connection and said that all is loaded, but it answers nothing any more."""
    with (
        socket.create_server((HOST, 0)) as server,
        serving(database=list(server.getsockname()), bind=HOST) as here,
    ):
        connection, _ = server.accept()
        with connection:
            connection.sendall(b'{"loaded":0}\n')
            until(lambda: status(here, "/ready") == 200)
            began = time.monotonic()
            assert put(here, "k", 1) == 503
            assert 1.9 < time.monotonic() - began < 4.0
            connection.settimeout(10)
            while connection.recv(1024):  # until it gives the connection up
                pass
            until(lambda: status(here, "/ready") == 503)


def test_what_is_no_message_ends_the_connection_only() -> None:
    with regions(1, 0.0) as (home,), replica(home) as here:
        for noise in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"[1]\n",
            b"{}\n{\n",
            b'{"w":[1]}\n',
            b'{"ack":1}\n',
        ):
            with socket.create_connection(home, timeout=5) as connection:
                connection.sendall(noise)
                with suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
        assert put(here, "k", 1) == 200
