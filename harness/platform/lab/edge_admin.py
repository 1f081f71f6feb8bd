"""What the lab's edges themselves know: whom they hold for healthy, and how much they answered.

Runs in the supervisor, which alone is near enough to ask five times a second. Envoy's admin
interface: `/clusters` gives `cluster::host:port::health_flags::…` in lines, `/stats` the counters
of the route that is named `SERVED` (health checks take another route and are not counted).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.platform import envoy
from harness.platform.lab.edge import SERVED
from harness.platform.lab.topology import GLOBAL, Place

TIMEOUT_S = 0.5
_ANSWERED = ("upstream_rq_2xx", "upstream_rq_3xx", "upstream_rq_4xx")
_FILTER = f"route.{SERVED}.upstream_rq_[234]xx"


@dataclass(slots=True)
class EdgeAdmin:
    """One edge: its upstreams by address, and its counter across restarts."""

    place: Place
    upstreams: Mapping[str, str]
    _base: int = 0
    _last: int = 0
    _born: float = 0.0
    _view: dict[str, str] = field(default_factory=dict)

    async def look(self, born: float) -> dict[str, str]:
        """Its word for each upstream now; its last one where it does not answer in time.

        `born` identifies the process: a restarted edge has no opinion yet and counts from 0.
        """
        if born != self._born:
            self._base, self._last = self._base + self._last, 0
            self._born, self._view = born, {}
        try:
            clusters, stats = await asyncio.gather(
                ask(self.place, "/clusters"), ask(self.place, f"/stats?filter={_FILTER}")
            )
        except OSError:
            return self._view
        self._last = sum(int(line.rpartition(":")[2]) for line in stats.splitlines() if line)
        self._view = dict(self._flags(clusters))
        return self._view

    @property
    def served(self) -> int:
        """How many requests it has answered without a server error, as far as was looked."""
        return self._base + self._last

    def _flags(self, clusters: str) -> list[tuple[str, str]]:
        found = []
        for line in clusters.splitlines():
            _, _, rest = line.partition("::")
            address, _, value = rest.partition("::health_flags::")
            if value and address in self.upstreams:
                word = "failed" if "failed" in value else "healthy"
                found.append((f"{self.place.id}>{self.upstreams[address]}", word))
        return found


def edge_admins(places: Sequence[Place]) -> dict[str, EdgeAdmin]:
    """Every edge by its id."""
    found = {}
    for place in places:
        if place.kind != "edge":
            continue
        mine = [each for each in places if each.service == place.service and each != place]
        if place.region == GLOBAL:
            upstreams = {f"{e.host}:{e.port}": e.region for e in mine if e.kind == "edge"}
        else:
            near = [e for e in mine if (e.kind, e.region) == ("replica", place.region)]
            upstreams = {f"{e.host}:{e.port}": e.id for e in near}
        found[place.id] = EdgeAdmin(place, upstreams)
    return found


async def ask(place: Place, path: str, method: str = "GET") -> str:
    """The body of one answer of an edge's admin interface; raises OSError."""
    where = place.host, place.admin or 0
    return (await asyncio.to_thread(envoy.ask, where, method, path, TIMEOUT_S)).decode()
