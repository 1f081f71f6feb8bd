"""A region's database: one process that holds the writes and hands them to the peer regions.

Run as `python -m harness.platform.lab.database '<json>'`. It is memory only: killed, it has lost
everything and, when it comes back, fetches the full state from its peers.

Guarantees. A write is acknowledged when it is applied here (`async`) or also applied in every
peer that is in sync (`sync`). A peer that has not acknowledged for IN_SYNC_S leaves the in-sync
set, as an in-sync replica of Kafka does, so that one dead region does not stop the others.
Concurrent writes to one key are resolved by the later time, then by the region's name.

Every message is one JSON object in a line. A replica sends `hello`, then `w` (writes) and `r`
(reads) and is sent `a` (acknowledged), `v` (values read), `s` (the stream of all changes) and
`lag`. A peer dials in, says which entry of which incarnation it has, and is sent entries `e`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.platform.lab.tether import end_with_owner

IN_SYNC_S = 2.0
HEARTBEAT_S = 0.5
STREAM_EVERY_S = 0.002
CHUNK = 2000
LINE_LIMIT = 64 * 1024 * 1024

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


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
    writer: asyncio.StreamWriter
    position: int
    fresh_until: int
    acknowledged: int
    acknowledged_at: float
    idle: bool = False
    kick: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Pending:
    """A synchronous write that waits for its peers."""

    number: int
    index: int
    writer: asyncio.StreamWriter


class Database:
    """The state of one region and its connections."""

    def __init__(self, region: str, delay_s: float) -> None:
        self.region = region
        self.delay_s = delay_s
        self.stopped = False
        self.incarnation = time.time_ns()
        self.entries: dict[tuple[str, str], Entry] = {}
        self.log: list[tuple[float, str, str]] = []
        self.replicas: set[asyncio.StreamWriter] = set()
        self.peers: dict[str, Peer] = {}
        self.pending: list[Pending] = []
        self.stream: list[tuple[str, str, str | None]] = []
        self.last_version = 0

    # -- state -----------------------------------------------------------------------------

    def write(self, collection: str, key: str, value: str | None) -> int:
        """Apply a write of this region; returns its index in the log."""
        self.last_version = max(self.last_version + 1, time.time_ns())
        self._put(collection, key, Entry(value, self.last_version, self.region))
        return len(self.log)

    def merge(self, collection: str, key: str, entry: Entry) -> None:
        """Apply a write of another region unless a later one is known."""
        known = self.entries.get((collection, key))
        if known is None or (entry.version, entry.origin) > (known.version, known.origin):
            self._put(collection, key, entry)

    def _put(self, collection: str, key: str, entry: Entry) -> None:
        self.entries[collection, key] = entry
        self.log.append((time.monotonic(), collection, key))
        if not self.stream:
            asyncio.get_running_loop().call_later(STREAM_EVERY_S, self._flush_stream)
        self.stream.append((collection, key, entry.value))

    def _flush_stream(self) -> None:
        line = encode({"s": self.stream})
        self.stream = []
        for writer in self.replicas:
            writer.write(line)
        for peer in self.peers.values():
            if peer.idle:
                peer.kick.set()

    # -- connections -----------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with whoever connected until it goes."""
        try:
            async for line in reader:
                message = json.loads(line)
                if "peer" in message:
                    await self._serve_peer(message, reader, writer)
                    return
                self._answer(message, writer)
        except (OSError, ValueError):
            pass
        finally:
            self.replicas.discard(writer)
            writer.close()

    def _answer(self, message: Message, writer: asyncio.StreamWriter) -> None:
        """One message of a replica or of the supervisor."""
        if "hello" in message:
            self._welcome(writer)
        if "set" in message:
            self.delay_s = message["set"].get("delay_s", self.delay_s)
            self.stopped = message["set"].get("stopped", self.stopped)
            writer.write(encode({"set": {"delay_s": self.delay_s, "stopped": self.stopped}}))
        answer: Message = {}
        if writes := message.get("w"):
            answer["a"] = self._write_all(writes, writer)
        if reads := message.get("r"):
            answer["v"] = [self._read(*each) for each in reads]
        if answer:
            writer.write(encode(answer))

    def _welcome(self, writer: asyncio.StreamWriter) -> None:
        """Send a new replica the whole state, then count it among the stream's readers."""
        keys = list(self.entries.items())
        for start in range(0, len(keys), CHUNK):
            part = [(c, k, entry.value) for (c, k), entry in keys[start : start + CHUNK]]
            writer.write(encode({"s": part}))
        writer.write(encode({"loaded": len(keys)}))
        self.replicas.add(writer)

    def _write_all(self, writes: list[Any], writer: asyncio.StreamWriter) -> list[int]:
        """Apply writes; returns the numbers of those acknowledged already."""
        done = []
        waiting = False
        for number, collection, key, value, sync in writes:
            index = self.write(collection, key, value)
            if sync and self._in_sync():
                self.pending.append(Pending(number, index, writer))
                waiting = True
            else:
                done.append(number)
        if waiting:
            for peer in self.peers.values():
                peer.kick.set()
        return done

    def _read(self, number: int, collection: str, key: str) -> tuple[int, bool, str | None]:
        entry = self.entries.get((collection, key))
        return number, entry is not None, entry.value if entry else None

    # -- peers -----------------------------------------------------------------------------

    def _in_sync(self) -> list[Peer]:
        limit = time.monotonic() - IN_SYNC_S
        return [peer for peer in self.peers.values() if peer.acknowledged_at >= limit]

    def _settle(self) -> None:
        """Acknowledge the synchronous writes which every peer in sync has."""
        reached = min((peer.acknowledged for peer in self._in_sync()), default=len(self.log))
        still = []
        for each in self.pending:
            if each.index <= reached:
                each.writer.write(encode({"a": [each.number]}))
            else:
                still.append(each)
        self.pending = still

    async def _serve_peer(
        self, hello: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        known = hello["incarnation"] == self.incarnation
        start = hello["from"] if known else 0
        peer = Peer(
            region=hello["peer"],
            writer=writer,
            position=start,
            fresh_until=start if known else len(self.log),
            acknowledged=start,
            acknowledged_at=time.monotonic(),
        )
        self.peers[peer.region] = peer
        sender = asyncio.create_task(self._send(peer))
        try:
            async for line in reader:
                peer.acknowledged = json.loads(line)["ack"]
                peer.acknowledged_at = time.monotonic()
                self._settle()
        finally:
            sender.cancel()
            if self.peers.get(peer.region) is peer:
                del self.peers[peer.region]
            self._settle()

    async def _send(self, peer: Peer) -> None:
        """Hand over the log as it becomes due, and a heartbeat when there is nothing."""
        while True:
            due = len(self.log) if self.pending else self._due(peer.position)
            while peer.position < due and not self.stopped:
                upto = min(due, peer.position + CHUNK)
                batch = self._batch(peer, self.log[peer.position : upto], peer.position)
                peer.position = upto
                peer.writer.write(encode({"i": self.incarnation, "n": upto, "e": batch}))
                await peer.writer.drain()
            peer.writer.write(encode({"i": self.incarnation, "n": peer.position, "e": []}))
            await peer.writer.drain()
            self._settle()
            peer.kick.clear()
            peer.idle = self.stopped or peer.position >= len(self.log)
            wait = HEARTBEAT_S
            if not peer.idle:
                wait = self.log[peer.position][0] + self.delay_s - time.monotonic()
            try:
                await asyncio.wait_for(peer.kick.wait(), max(min(wait, HEARTBEAT_S), 0.005))
            except TimeoutError:
                continue

    def _due(self, start: int) -> int:
        """The end of the log's part that is older than the replication delay."""
        limit = time.monotonic() - self.delay_s
        end = start
        while end < len(self.log) and self.log[end][0] <= limit:
            end += 1
        return end

    def _batch(self, peer: Peer, part: Iterable[tuple[float, str, str]], start: int) -> list[Any]:
        """Entries for a peer: of our own writes only, and of all while it has nothing yet."""
        batch = []
        for index, (_, collection, key) in enumerate(part, start):
            entry = self.entries[collection, key]
            if entry.origin == self.region or index < peer.fresh_until:
                batch.append((collection, key, entry.value, entry.version, entry.origin))
        return batch

    async def follow(self, address: tuple[str, int], bind: str) -> None:
        """Follow one peer for ever: fetch its log, acknowledge, reconnect when it is lost."""
        incarnation: int | None = None
        position = 0
        while True:
            try:
                async with asyncio.timeout(IN_SYNC_S):
                    reader, writer = await asyncio.open_connection(
                        *address, local_addr=(bind, 0), limit=LINE_LIMIT
                    )
            except (OSError, TimeoutError):
                await asyncio.sleep(0.2)
                continue
            try:
                hello = {"peer": self.region, "incarnation": incarnation, "from": position}
                writer.write(encode(hello))
                while line := await asyncio.wait_for(reader.readline(), 2 * IN_SYNC_S):
                    message = json.loads(line)
                    incarnation, position = message["i"], message["n"]
                    for collection, key, value, version, origin in message["e"]:
                        self.merge(collection, key, Entry(value, version, origin))
                    writer.write(encode({"ack": position}))
            except (OSError, ValueError, TimeoutError):
                pass
            finally:
                writer.close()
            await asyncio.sleep(0.2)

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
            line = encode({"lag": lag})
            for writer in self.replicas:
                writer.write(line)
            self._settle()


async def main(plan: Message) -> None:
    """Serve one region until the end of the process."""
    database = Database(plan["region"], plan["delay_s"])
    host, port = plan["listen"]
    server = await asyncio.start_server(database.serve, host, port, limit=LINE_LIMIT)
    followers = [database.follow((h, p), host) for h, p in plan["peers"].values()]
    end_with_owner()
    async with server:
        await asyncio.gather(server.serve_forever(), database.report_lag(), *followers)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
