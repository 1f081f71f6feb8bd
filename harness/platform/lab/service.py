"""The reference service: one replica, a granian RSGI server over the region's database.

Run as `python -m harness.platform.lab.service '<json>'`. Every collection route holds the ids
"1" to "1000" from the start. `GET` on it lists, `POST` creates (201; a JSON `id` of the client is
kept), `<route>/<id>` takes GET, PUT (upsert), PATCH and DELETE (idempotent). The query string is
ignored but for `replication=sync` on a write. Besides: `/health`, `/ready`, `/metrics` and, to
change the behaviour while it runs, `PUT /__lab/behaviour`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

from harness.errors import PlatformError
from harness.platform.lab.metrics import Metrics
from harness.platform.lab.mood import Mood
from harness.platform.lab.options import Behaviour
from harness.platform.lab.store import Store, Unavailable, quoted
from harness.platform.lab.tether import end_with_owner

JSON = [("content-type", "application/json")]
LEAVING = [*JSON, ("connection", "close")]

Closes = Literal["never", "unready", "always"]
"""When a replica ends the connection with its answer. One that is not ready is taken out of new
connections only: unless it ends the established ones, a pool goes on with it. `always` lets a load
feel at once what becomes of new connections."""

TEXT = [("content-type", "text/plain; version=0.0.4")]
BEHAVIOUR_PATH = "/__lab/behaviour"

Answer = tuple[int, bytes]


class Router:
    """Tells the collection and the id that a path names."""

    def __init__(self, service: str, paths: Iterable[str]) -> None:
        listed = set(paths) or {f"/api/v1/{service}", f"/api/v1/{service}/{{id}}"}
        items = {p for p in listed if p.endswith("}") and p.rpartition("/")[0] in listed}
        plain = listed - items
        self.fixed = {path for path in plain if "{" not in path}
        self._variable = [
            re.compile(re.sub(r"\\{[^/{}]+\\}", "[^/]+", re.escape(path)))
            for path in sorted(plain - self.fixed)
        ]

    def find(self, path: str) -> tuple[str, str | None] | None:
        """(collection, id or None), or None where the service has no such path."""
        if path in self.fixed:
            return path, None
        head, _, tail = path.rpartition("/")
        if head in self.fixed and tail:
            return head, tail
        if any(pattern.fullmatch(path) for pattern in self._variable):
            return path, None
        if tail and any(pattern.fullmatch(head) for pattern in self._variable):
            return head, tail
        return None


class Replica:
    """One copy of the service."""

    def __init__(self, plan: dict[str, Any], store: Store) -> None:
        self.name: str = plan["service"]
        self.id: str = plan["id"]
        self.region: str = plan["region"]
        self.store = store
        self.sync: bool = plan["replication"] == "sync"
        self.closes: Closes = plan.get("closes", "unready")
        self.router = Router(self.name, plan["routes"])
        self.metrics = Metrics(self.name)
        self.mood = Mood(Behaviour.parse(plan["behaviour"]), self.id)
        self._created = 0
        self._prefix = f"{self.id}-{time.time_ns() // 1000:x}-"
        self._tail = f'","service":"{self.name}","region":"{self.region}"}}'.encode()
        self._item_tail = f',"service":"{self.name}"}}'.encode()
        health: str = plan["health_path"]
        self._inner: dict[str, Callable[[Any, Any], Awaitable[None]]] = {
            "/health": self._health,
            health: self._health,
            "/ready": self._ready,
            "/metrics": self._metrics,
            BEHAVIOUR_PATH: self._behave,
        }

    @property
    def ready(self) -> bool:
        """Whether it should be sent requests."""
        return self.store.loaded and self.mood.behaviour.ready

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Answer one request and count it."""
        inner = self._inner.get(scope.path)
        if inner is not None:
            await inner(scope, proto)
            return
        began = time.perf_counter()
        self.metrics.in_flight += 1
        try:
            status, body = self.mood.refuse(scope, self.metrics.in_flight) or (0, b"")
            if not status:
                if self.mood.delays:
                    await self._delay(scope.path)
                status, body = self.mood.falsify(*await self._serve(scope, proto))
            closes = self.closes == "always" or (self.closes == "unready" and not self.ready)
            proto.response_bytes(status, LEAVING if closes else JSON, body)
            self.metrics.count(status, time.perf_counter() - began)
        finally:
            self.metrics.in_flight -= 1

    async def _delay(self, path: str) -> None:
        found = self.router.find(path)
        seconds = self.mood.delay(found[0] if found else path)
        if seconds > 0.0:
            await asyncio.sleep(seconds)

    async def _serve(self, scope: Any, proto: Any) -> Answer:
        found = self.router.find(scope.path)
        if found is None:
            return 404, b'{"error":"no such path"}'
        method = scope.method
        try:
            if method == "GET":
                return await self._read(*found)
            if method == "DELETE":
                return await self._delete(*found, scope)
            if method in {"POST", "PUT", "PATCH"}:
                return await self._write(*found, scope, await proto())
        except Unavailable:
            return 503, b'{"error":"the database of the region does not answer"}'
        return 405, b'{"error":"method not allowed"}'

    async def _read(self, collection: str, key: str | None) -> Answer:
        if key is None:
            return 200, self._list(collection)
        value = await self.store.get(collection, key)
        if value is None:
            return 404, b'{"error":"no such id"}'
        return 200, f'{{"id":{quoted(key)},"value":{value}'.encode() + self._item_tail

    def _list(self, collection: str) -> bytes:
        held = self.store.collection(collection)
        return f'{{"items":[{held.listing()}],"count":{held.count}'.encode() + self._item_tail

    async def _delete(self, collection: str, key: str | None, scope: Any) -> Answer:
        if key is not None:
            await self.store.put(collection, key, None, sync=self._wants_sync(scope))
        return 200, b'{"deleted":true' + self._item_tail

    async def _write(self, collection: str, key: str | None, scope: Any, body: bytes) -> Answer:
        try:
            given = json.loads(body) if body else {}
        except ValueError:
            return 400, b'{"error":"the body is not JSON"}'
        chosen = given.get("id") if isinstance(given, dict) else None
        if key is None:
            key = self._new_id() if chosen is None else str(chosen)
        value = given.get("value", given) if isinstance(given, dict) else given
        text = json.dumps(value, separators=(",", ":"))
        await self.store.put(collection, key, text, sync=self._wants_sync(scope))
        status = 201 if scope.method == "POST" else 200
        return status, b'{"id":' + quoted(key).encode()[:-1] + self._tail

    def _new_id(self) -> str:
        self._created += 1
        return f"{self._prefix}{self._created}"

    def _wants_sync(self, scope: Any) -> bool:
        return self.sync or "replication=sync" in scope.query_string

    # -- what a kubelet, an edge and Prometheus ask --------------------------------------------

    async def _health(self, scope: Any, proto: Any) -> None:
        await self._slow_health()
        proto.response_bytes(200, JSON, b'{"status":"ok"' + self._item_tail)

    async def _ready(self, scope: Any, proto: Any) -> None:
        await self._slow_health()
        ready = self.ready
        body = b'{"ready":' + (b"true" if ready else b"false") + self._item_tail
        proto.response_bytes(200 if ready else 503, JSON, body)

    async def _slow_health(self) -> None:
        if self.mood.behaviour.health_delay_s:
            await asyncio.sleep(self.mood.behaviour.health_delay_s)

    async def _metrics(self, scope: Any, proto: Any) -> None:
        proto.response_bytes(200, TEXT, self.metrics.text(self.store.lag).encode())

    async def _behave(self, scope: Any, proto: Any) -> None:
        if scope.method == "PUT":
            try:
                behaviour = Behaviour.parse(json.loads(await proto()))
            except (ValueError, TypeError, PlatformError) as problem:
                proto.response_bytes(400, JSON, json.dumps({"error": str(problem)}).encode())
                return
            self.mood = Mood(behaviour, self.id)
        body = json.dumps(self.mood.behaviour.document()).encode()
        proto.response_bytes(200, JSON, body)


async def main(plan: dict[str, Any]) -> None:
    """Serve one replica until the end of the process."""
    from granian.constants import HTTPModes, Interfaces, TaskImpl  # noqa: PLC0415
    from granian.server.embed import Server  # noqa: PLC0415

    host, port = plan["listen"]
    database = tuple(plan["database"]) if plan["database"] else None
    store = Store(database, plan.get("bind"))
    replica = Replica(plan, store)
    server = Server(
        replica,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        task_impl=TaskImpl.asyncio,
        http=HTTPModes.auto,
        websockets=False,
        backlog=4096,
        backpressure=65536,
        log_enabled=False,
        log_access=False,
    )
    gc.collect()
    gc.freeze()
    end_with_owner()
    await asyncio.gather(server.serve(), store.connect())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
