"""Databases and the replicas' stores talk as they promise, here all in one process."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from harness.platform.lab import database
from harness.platform.lab.database import Database, Entry
from harness.platform.lab.lines import Lines, Message
from harness.platform.lab.store import Collection, Store, Unavailable

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    held = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@asynccontextmanager
async def regions(count: int, delay_s: float) -> AsyncIterator[list[tuple[str, int]]]:
    """`count` databases that follow each other; gives their addresses."""
    ports = free_ports(count)
    names = [f"r{number}" for number in range(count)]
    tasks = []
    for name, port in zip(names, ports, strict=True):
        peers = {n: [HOST, p] for n, p in zip(names, ports, strict=True) if n != name}
        plan = {"region": name, "delay_s": delay_s, "listen": [HOST, port], "peers": peers}
        tasks.append(asyncio.create_task(database.main(plan)))
    try:
        yield [(HOST, port) for port in ports]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def store(address: tuple[str, int]) -> AsyncIterator[Store]:
    made = Store(address, HOST)
    task = asyncio.create_task(made.connect())
    try:
        await until(lambda: made.loaded)
        yield made
    finally:
        task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the condition is another task's
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def untethered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The databases of these tests have no owner of their own."""
    monkeypatch.setattr(database, "end_with_owner", lambda: None)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(limited())


def test_an_acknowledged_write_is_found_by_the_other_replica_at_once() -> None:
    async def test() -> None:
        async with regions(1, 0.0) as (home,), store(home) as first, store(home) as second:
            await first.put("/c", "k", '"v"')
            assert await second.get("/c", "k") == '"v"'
            assert await second.get("/c", "unknown") is None
            await until(lambda: second.collection("/c").get("k") == '"v"')
            assert second.collection("/c").count == first.collection("/c").count == 1001
            await second.put("/c", "k", None)
            await until(lambda: first.collection("/c").get("k") is None)

    run(test)


def test_a_synchronous_write_is_in_the_peer_when_it_is_acknowledged() -> None:
    async def test() -> None:
        async with regions(2, 60.0) as (home, peer), store(home) as here, store(peer) as there:
            await here.put("/c", "later", "1")
            assert await there.get("/c", "later") is None
            await here.put("/c", "now", "2", sync=True)
            assert await there.get("/c", "now") == "2"
            assert await there.get("/c", "later") == "1", "the log keeps its order"

    run(test)


def test_the_lag_of_each_peer_is_reported() -> None:
    async def test() -> None:
        async with regions(2, 60.0) as (home, _), store(home) as here:
            await here.put("/c", "k", "1")
            await until(lambda: here.lag.get("r1", (0, 0.0))[0] == 1)
            assert here.lag["r1"][1] > 0

    run(test)


def test_replication_can_be_stopped_silently_and_its_delay_changed() -> None:
    async def test() -> None:
        async with regions(2, 0.0) as (home, peer), store(home) as here, store(peer) as there:
            heard: list[Message] = []
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: Lines(lambda _, message: heard.append(message), lambda _: None), *home
            )
            line.send({"set": {"stopped": True}})
            await until(lambda: bool(heard))
            await here.put("/c", "k", "1")
            await asyncio.sleep(0.3)
            assert await there.get("/c", "k") is None
            line.send({"set": {"stopped": False}})
            await until(lambda: there.collection("/c").get("k") == "1")
            line.close()

    run(test)


def test_a_store_without_its_database_says_unavailable_and_comes_back() -> None:
    async def test() -> None:
        (port,) = free_ports(1)
        loop = asyncio.get_running_loop()
        held = Database("r", 0.0)
        server = await loop.create_server(held.line, HOST, port)
        async with store((HOST, port)) as here:
            await here.put("/c", "k", "1")
            server.close()
            for line in list(held.replicas):
                line.close()
            await until(lambda: not here.loaded)
            with pytest.raises(Unavailable):
                await here.put("/c", "k", "2")
            assert await here.get("/c", "k") == "1", "its copy still answers"
            server = await loop.create_server(held.line, HOST, port)
            await until(lambda: here.loaded)
            await here.put("/c", "k", "3")
            server.close()

    run(test)


def test_what_is_no_message_ends_the_connection_only() -> None:
    async def test() -> None:
        async with regions(1, 0.0) as (home,), store(home) as here:
            for noise in (b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b"{}\n{\n", b'{"w":[1]}\n'):
                reader, writer = await asyncio.open_connection(*home)
                writer.write(noise)
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
                writer.close()
            await here.put("/c", "k", "1")

    run(test)


def test_of_two_concurrent_writes_the_later_stays_in_any_order() -> None:
    async def test() -> None:
        early, late = Entry("1", 10, "a"), Entry("2", 10, "b")
        for order in ((early, late), (late, early)):
            held = Database("c", 0.0)
            for entry in order:
                held.merge("/c", "k", entry)
            assert held.entries["/c", "k"].value == "2"

    run(test)


def test_a_collection_lists_what_is_newest_and_still_there() -> None:
    collection = Collection()
    collection.apply('odd "id"', "1")
    collection.apply("1000", None)
    collection.apply("never-there", None)
    listed = json.loads(f"[{collection.listing()}]")
    assert listed[-1] == {"id": 'odd "id"', "value": 1}
    assert "1000" not in [each["id"] for each in listed]
    assert collection.count == 1000
