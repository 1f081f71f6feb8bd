"""From the shards' messages to the run's: sequence numbers checked, totals summed, loss stated."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.messages import Done, End, LoadMessage, Tick, Totals, WorkerLost, WorkerMessage

Emit = Callable[[LoadMessage], None]

Counted = Literal["offered", "completed", "failed", "unfinished"]
COUNTED: tuple[Counted, ...] = ("offered", "completed", "failed", "unfinished")


@dataclass(slots=True)
class _Shard:
    """What is known of one worker."""

    next_seq: int = 0
    last_second: int = -1
    known: Totals = field(default_factory=Totals)
    tick: Tick | None = None
    done: Done | None = None
    lost: WorkerLost | None = None


@dataclass(slots=True)
class Assembly:
    """Puts the messages of `shards` workers together into the stream of the contract."""

    shards: int
    emit: Emit
    _known: dict[int, _Shard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = {number: _Shard() for number in range(self.shards)}

    @property
    def complete(self) -> bool:
        """Whether every worker has given its totals or is known to be lost."""
        return all(shard.done or shard.lost for shard in self._known.values())

    def add(self, message: WorkerMessage) -> None:
        """Take one message of one worker; pass on what the record wants."""
        shard = self._known[0 if message["type"] == "probe" else message.get("worker", 0)]
        if message["type"] == "slice":
            if message["seq"] != shard.next_seq and shard.lost is None:
                self.lose(message["worker"], "its reports have a gap")
            shard.next_seq = message["seq"] + 1
            if message["slice"]["axis"] == "due":
                shard.last_second = max(shard.last_second, message["slice"]["second"])
                for key in COUNTED:
                    shard.known[key] = shard.known.get(key, 0) + message["slice"].get(key, 0)
            self.emit(message)
        elif message["type"] == "tick":
            shard.tick = message
            if all(s.tick is not None or s.lost or s.done for s in self._known.values()):
                self._tick()
        elif message["type"] == "done":
            shard.done = message
            if message["slices"] != shard.next_seq and shard.lost is None:
                self.lose(message["worker"], "its last reports are missing")
        else:
            self.emit(message)

    def lose(self, worker: int, reason: str) -> None:
        """State that a worker's part of the schedule is unknown from the last second heard of."""
        shard = self._known[worker]
        if shard.lost is not None or (shard.done and shard.done["slices"] == shard.next_seq):
            return
        shard.lost = {
            "type": "worker_lost",
            "worker": worker,
            "shards": self.shards,
            "last_seq": shard.next_seq - 1,
            "from_second": shard.last_second + 1,
            "reason": reason,
            "unknown": (
                f"shard {worker + 1} of {self.shards} of the schedule from second "
                f"{shard.last_second + 1} on"
            ),
        }
        self.emit(shard.lost)

    def end(self) -> End:
        """The `end` message: what was offered and what became of it, with what is unknown.

        Of a lost worker the totals hold what its slices had told before.
        """
        done = [shard.done for shard in self._known.values() if shard.done]
        counts: list[Totals] = [
            shard.done["totals"] if shard.done else shard.known for shard in self._known.values()
        ]
        lost = [shard.lost["unknown"] for shard in self._known.values() if shard.lost]
        totals: Totals = {
            "offered": _sum(counts, "offered"),
            "completed": _sum(counts, "completed"),
            "failed": _sum(counts, "failed"),
            "unfinished": _sum(counts, "unfinished"),
            "clipped": _sum(counts, "clipped"),
        }
        errors = [error for message in done if (error := message.get("error"))]
        conserved = (
            len(done) == self.shards
            and not lost
            and all(message["conserved"] for message in done)
            and totals["offered"] == sum(totals[key] for key in COUNTED[1:])
        )
        return {
            "type": "end",
            "conserved": conserved,
            "totals": totals,
            "unknown": lost,
            "errors": errors,
        }

    def _tick(self) -> None:
        ticks = [s.tick for s in self._known.values() if s.tick is not None]
        self.emit(
            {
                "type": "tick",
                "offered": sum(tick["offered"] for tick in ticks),
                "completed": sum(tick["completed"] for tick in ticks),
                "failed": sum(tick["failed"] for tick in ticks),
                "unfinished": sum(tick["unfinished"] for tick in ticks),
                "in_flight": sum(tick["in_flight"] for tick in ticks),
                "lag_p99_ns": max(tick["lag_p99_ns"] or 0 for tick in ticks),
                "cpu": max(tick["cpu"] for tick in ticks),
                "cpu_process": sum(tick["cpu_process"] for tick in ticks),
            }
        )
        for shard in self._known.values():
            if not (shard.done or shard.lost):
                shard.tick = None


def _sum(counts: Iterable[Totals], key: Counted | Literal["clipped"]) -> int:
    found: Iterable[Mapping[str, object]] = counts
    return sum(number for count in found if isinstance(number := count.get(key), int))
