"""A region's database: one process that holds the writes and hands them to the peer regions.

Run as `python -m harness.platform.lab.database '<json>'`. It is memory only: killed, it has lost
everything and, when it comes back, fetches the full state from its peers before it serves; it
waits for those it cannot reach no longer than IN_SYNC_S.

Guarantees. A write is acknowledged when it is applied here (`async`) or also applied in every
peer that is in sync (`sync`). A peer that has not acknowledged for IN_SYNC_S leaves the in-sync
set, as an in-sync replica of Kafka does, so that one dead region does not stop the others.
Concurrent writes to one key are resolved by the later time, then by the region's name.

Every message is one JSON object in a line. A replica sends `hello`, then `w` (writes) and `r`
(reads) and is sent `a` (acknowledged), `v` (values read), `s` (the stream of all changes) and
`lag`. A peer dials in with `peer`, says which entry of which incarnation it has, is sent entries
`e` and acknowledges with `ack`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.platform.lab.lines import Lines, Message
from harness.platform.lab.tether import end_with_owner

IN_SYNC_S = 2.0
HEARTBEAT_S = 0.5
STREAM_EVERY_S = 0.01
RECONNECT_S = 0.05
CHUNK = 2000
WINDOW = 10 * CHUNK
"""Entries sent to a peer ahead of its acknowledgement."""


@dataclass(slots=True)
class Entry:
    """The present value of a key (None: deleted) and the write that made it so."""

    value: str | None
    version: int
    origin: str


@dataclass(slots=True)
class Peer:
    """A region that follows this one."""

    region: str
    line: Lines
    position: int
    fresh_until: int
    acknowledged: int
    acknowledged_at: float
    idle: bool = False
    kick: asyncio.Event = field(default_factory=asyncio.Event)
    sender: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A synchronous write that waits for its peers."""

    number: int
    index: int
    line: Lines


class Database:
    """The state of one region and its connections."""

    def __init__(self, region: str, delay_s: float, peers: Iterable[str] = ()) -> None:
        self.region = region
        self._missing = set(peers)
        self._early: list[Lines] = []
        self.delay_s = delay_s
        self.stopped = False
        self.incarnation = time.time_ns()
        self.entries: dict[tuple[str, str], Entry] = {}
        self.log: list[tuple[float, str, str]] = []
        self.replicas: set[Lines] = set()
        self.peers: dict[Lines, Peer] = {}
        self._pending: list[Pending] = []
        self._stream: list[tuple[str, str, str | None]] = []
        self._last_version = 0

    # -- state -----------------------------------------------------------------------------

    def write(self, collection: str, key: str, value: str | None) -> int:
        """Apply a write of this region; returns its index in the log."""
        self._last_version = max(self._last_version + 1, time.time_ns())
        self._put(collection, key, Entry(value, self._last_version, self.region))
        return len(self.log)

    def merge(self, collection: str, key: str, entry: Entry) -> None:
        """Apply a write of another region unless a later one is known."""
        known = self.entries.get((collection, key))
        if known is None or (entry.version, entry.origin) > (known.version, known.origin):
            self._put(collection, key, entry)

    def _put(self, collection: str, key: str, entry: Entry) -> None:
        self.entries[collection, key] = entry
        self.log.append((time.monotonic(), collection, key))
        if not self._stream:
            asyncio.get_running_loop().call_later(STREAM_EVERY_S, self._flush_stream)
        self._stream.append((collection, key, entry.value))

    def _flush_stream(self) -> None:
        changes, self._stream = self._stream, []
        for line in self.replicas:
            line.send({"s": changes})
        for peer in self.peers.values():
            if peer.idle:
                peer.kick.set()

    # -- replicas ----------------------------------------------------------------------------

    def line(self) -> Lines:
        """The protocol of a new connection."""
        return Lines(self._heard, self._lost)

    def _heard(self, line: Lines, message: Message) -> None:
        """One message of a replica, a peer or the supervisor."""
        if "ack" in message:
            peer = self.peers[line]
            peer.acknowledged, peer.acknowledged_at = message["ack"], time.monotonic()
            self._settle()
        if writes := message.get("w"):
            self._write_all(writes, line)
        if reads := message.get("r"):
            line.send({"v": [self._read(*each) for each in reads]})
        if "hello" in message:
            self._welcome(line)
        if "peer" in message:
            self._admit(message, line)
        if "set" in message:
            self.delay_s = message["set"].get("delay_s", self.delay_s)
            self.stopped = message["set"].get("stopped", self.stopped)
            line.send({"set": {"delay_s": self.delay_s, "stopped": self.stopped}})

    def _lost(self, line: Lines) -> None:
        self.replicas.discard(line)
        peer = self.peers.pop(line, None)
        if peer is not None and peer.sender is not None:
            peer.sender.cancel()
            self._settle()

    def _caught_up(self, peers: Iterable[str]) -> None:
        """Note the peers whose full state is here; with the last one, serve who waited for it."""
        self._missing.difference_update(peers)
        if not self._missing:
            early, self._early = self._early, []
            for line in early:
                self._welcome(line)

    async def stop_waiting(self) -> None:
        """Serve without the peers that cannot be reached."""
        await asyncio.sleep(IN_SYNC_S)
        self._caught_up(set(self._missing))

    def _welcome(self, line: Lines) -> None:
        """Send a new replica the whole state, then count it among the stream's readers."""
        if self._missing:
            self._early.append(line)
            return
        entries = list(self.entries.items())
        for start in range(0, len(entries), CHUNK):
            part = entries[start : start + CHUNK]
            line.send({"s": [(c, k, entry.value) for (c, k), entry in part]})
        line.send({"loaded": len(entries)})
        self.replicas.add(line)

    def _write_all(self, writes: list[Any], line: Lines) -> None:
        """Apply writes and acknowledge those that need not wait for a peer."""
        done = []
        wait = False
        for number, collection, key, value, sync in writes:
            index = self.write(collection, key, value)
            if sync and self._in_sync():
                self._pending.append(Pending(number, index, line))
                wait = True
            else:
                done.append(number)
        if done:
            line.send({"a": done})
        if wait:
            for peer in self.peers.values():
                peer.kick.set()

    def _read(self, number: int, collection: str, key: str) -> tuple[int, str | None]:
        entry = self.entries.get((collection, key))
        return number, entry.value if entry else None

    # -- peers that follow this region -----------------------------------------------------------

    def _in_sync(self) -> list[Peer]:
        if self.stopped:
            return []
        limit = time.monotonic() - IN_SYNC_S
        return [peer for peer in self.peers.values() if peer.acknowledged_at >= limit]

    def _settle(self) -> None:
        """Acknowledge the synchronous writes which every peer in sync has."""
        if not self._pending:
            return
        reached = min((peer.acknowledged for peer in self._in_sync()), default=len(self.log))
        for each in self._pending:
            if each.index <= reached:
                each.line.send({"a": [each.number]})
        self._pending = [each for each in self._pending if each.index > reached]

    def _admit(self, hello: Message, line: Lines) -> None:
        """Send a peer what it lacks from now on; an older connection of it is dropped."""
        for older in [each for each in self.peers.values() if each.region == hello["peer"]]:
            older.line.close()
        known = hello["incarnation"] == self.incarnation
        start = hello["from"] if known else 0
        fresh_until = start if known else len(self.log)
        peer = Peer(hello["peer"], line, start, fresh_until, start, time.monotonic())
        self.peers[line] = peer
        peer.sender = asyncio.get_running_loop().create_task(self._send(peer))

    async def _send(self, peer: Peer) -> None:
        """Hand over the log as it becomes due, and a heartbeat when there is nothing."""
        peer.line.send(self._message(peer, []))
        while True:
            peer.kick.clear()
            due = len(self.log) if self._pending else self._due(peer.position)
            due = min(max(due, peer.fresh_until), peer.acknowledged + WINDOW)
            due = peer.position if self.stopped else due
            while peer.position < due:
                upto = min(due, peer.position + CHUNK)
                batch = self._batch(peer, self.log[peer.position : upto])
                peer.position = upto
                peer.line.send(self._message(peer, batch))
            self._settle()
            peer.idle = self.stopped or peer.position >= len(self.log)
            wait = HEARTBEAT_S
            if not peer.idle:
                wait = self.log[peer.position][0] + self.delay_s - time.monotonic()
            try:
                async with asyncio.timeout(max(min(wait, HEARTBEAT_S), STREAM_EVERY_S)):
                    await peer.kick.wait()
            except TimeoutError:
                peer.line.send(self._message(peer, []))

    def _message(self, peer: Peer, batch: list[Any]) -> Message:
        complete = peer.position >= peer.fresh_until
        return {"i": self.incarnation, "n": peer.position, "e": batch, "complete": complete}

    def _due(self, start: int) -> int:
        """The end of the log's part that is older than the replication delay."""
        limit = time.monotonic() - self.delay_s
        end = start
        while end < len(self.log) and self.log[end][0] <= limit:
            end += 1
        return end

    def _batch(self, peer: Peer, part: Iterable[tuple[float, str, str]]) -> list[Any]:
        """Entries for a peer: of our own writes only, and of all while it has nothing yet."""
        batch = []
        for index, (_, collection, key) in enumerate(part, peer.position):
            entry = self.entries[collection, key]
            if entry.origin == self.region or index < peer.fresh_until:
                batch.append((collection, key, entry.value, entry.version, entry.origin))
        return batch

    async def report_lag(self) -> None:
        """Tell the replicas how far each peer is behind: entries, and seconds of the oldest."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            now = time.monotonic()
            lag = {}
            for peer in self.peers.values():
                behind = len(self.log) - peer.acknowledged
                age = now - self.log[peer.acknowledged][0] if behind > 0 else 0.0
                lag[peer.region] = (behind, age)
            for line in self.replicas:
                line.send({"lag": lag})
            self._settle()

    # -- peers that this region follows ----------------------------------------------------------

    async def follow(self, region: str, address: tuple[str, int], bind: str) -> None:
        """Follow one peer for ever: take its log, acknowledge, reconnect when it falls silent."""
        position: tuple[int | None, int] = (None, 0)

        def heard(line: Lines, message: Message) -> None:
            nonlocal position
            for collection, key, value, version, origin in message["e"]:
                self.merge(collection, key, Entry(value, version, origin))
            position = message["i"], message["n"]
            line.send({"ack": message["n"]})
            if message["complete"]:
                self._caught_up({region})

        while True:
            ended = asyncio.Event()
            try:
                async with asyncio.timeout(IN_SYNC_S):
                    _, line = await asyncio.get_running_loop().create_connection(
                        lambda ended=ended: Lines(heard, lambda _: ended.set()),  # type: ignore[misc]
                        *address,
                        local_addr=(bind, 0),
                    )
            except (OSError, TimeoutError):
                await asyncio.sleep(RECONNECT_S)
                continue
            line.send({"peer": self.region, "incarnation": position[0], "from": position[1]})
            while not ended.is_set() and time.monotonic() - line.heard_at < 2 * IN_SYNC_S:  # noqa: ASYNC110
                await asyncio.sleep(RECONNECT_S)
            line.close()


async def main(plan: Message) -> None:
    """Serve one region until the end of the process."""
    end_with_owner()
    database = Database(plan["region"], plan["delay_s"], plan["peers"])
    database.stopped = plan.get("stopped", False)
    host, port = plan["listen"]
    server = await asyncio.get_running_loop().create_server(database.line, host, port)
    followers = [database.follow(name, (h, p), host) for name, (h, p) in plan["peers"].items()]
    background = (database.report_lag(), database.stop_waiting(), *followers)
    async with server:
        await asyncio.gather(server.serve_forever(), *background)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
