# ruff: noqa: PYI021 - a native module has no other place for its documentation
"""The native load engine: what it takes, gives and raises.

Units: every `*_ns` is an integer of nanoseconds, and unless said otherwise counts from the run's
start on the monotonic clock (`time.monotonic_ns()` on Linux). The plan, the Slice lines, the error
kinds and the four times of a request are specified in docs/contracts.md.

What the times mean here
    due      the instant of the schedule (in a closed model: the instant of sending)
    ready    when the pacer got to it; lag = ready - due is the generator's own lateness
    sent     when it was handed to a free connection; wait = sent - ready is time spent in the
             pool's queue (first come, first served) and in making a connection for it
    first    when the head of the response was there; for requests of the plan that ask for it with
             `first_byte`, the histogram `first` holds first - sent of the completed ones
    done     when the body was complete; checks run after it and are not charged to the server
    response = done - due = lag + wait + service; service = done - sent
The timeout of a request counts from `ready`: it is what a client sees, waiting included. A timeout
or an oversized body closes an HTTP/1.1 connection, and resets the stream of an HTTP/2 one.

A request that an HTTP/2 server certainly has not processed (it refused the stream, or its GOAWAY
says so: RFC 9113, 8.7) is sent once more, on another connection, and counts in `retried`; it stays
due when it was, and `sent` is its first time. Nothing else is retried, and nothing over HTTP/1.1:
an idle connection that is known to be closed is not used, but one that is closed after a request
was sent on it does not say whether the service carried it out, so that the request fails as `eof`
or `reset`, as it does for a client (RFC 9112, 9.3.1, lets a client retry, but asks none to).

All responses under way keep at most 256 MiB of bodies and heads for checks and captures, in all
threads together. A response beyond that fails as `local`: the generator's limit, not the service's.

`connect_timeout_s` bounds name, TCP and TLS together; a name is resolved anew
for every connection, and its addresses are tried in turn. `connections_per_target` is split over
the engine's threads. An HTTP/2 connection carries up to 100 requests at once.

Lines with the same axis, second and endpoint add up: a request that Python records late makes one
more line for its second.

Of a request with `stream` the events are timed (server-sent events, lines of JSON, the pieces of
any other body); of chat completions only those with content count. Completed ones add to the
histograms `ttfb` (first - due), `ttft` (first event - due), `itl` ((last - first event) / (tokens
- 1)) and `length` (a token is 1 ms), and to the counts `tokens` (as `usage` has them, else
events), `events`, `coalesced` (events that came with the one before) and `good` (within `limits`);
`gap` holds every time between two events. A stream that is cut or silent for `silence_s` once it
has begun, that ends without the event `until`, without content or with an error in it, is
`broken_stream`. Its timeout bounds all of it; nothing at all may come for `silence_s` at most,
from `ready` on.

`bytes_in` and `bytes_out` count bodies (after framing, before decompression), not heads. `connects`
counts the requests that made a connection of their own.
"""

from collections.abc import Mapping
from typing import TypedDict, final

import numpy as np
import numpy.typing as npt

class Snapshot(TypedDict):
    """Totals since the start; a copy, taken without waiting."""

    offered: int
    completed: int
    failed: int
    unfinished: int
    """Requests that had not ended when the engine did; 0 while it runs."""
    in_flight: int
    lag_p99_ns: int | None
    """Of the whole run so far; None before the first request ended."""
    clipped: int
    """Recorded times above one hour, which count as one hour."""
    finished: bool
    conserved: bool | None
    """offered = completed + failed + unfinished, in the totals and summed over the lines of either
    axis, nothing left in flight and no `error`; None until finished."""
    error: str | None
    """Why the figures cannot be trusted: a panic, a thread that could not start."""
    cpu_ns: int | None
    """CPU time of the engine's threads; None where the system does not tell."""
    journeys_offered: int
    journeys_done: int
    journeys_open: int
    """Journeys that came due and have not been reported done; those still open at the end are the
    unfinished ones."""
    log_lost: int
    """Log entries beyond one million untaken ones."""

@final
class Engine:
    """One run of one plan, on operating-system threads of its own (no GIL, no gevent).

    Raises ValueError (a bad plan: one line with the field's path and the remedy) and OSError (a CA
    file that cannot be read).
    """

    def __new__(cls, plan: str) -> Engine: ...
    def start(self) -> None:
        """Begins: at `start_unix_ns`, or 20 ms from now.

        Raises RuntimeError if it was started before, ValueError if `start_unix_ns` is more than a
        minute ago or more than an hour ahead. The soft limit of open files is raised to the hard.
        """

    def stop(self) -> None:
        """Ends the arrivals; what is in flight has `drain_s` to end."""

    def abort(self) -> None:
        """Ends now; what is in flight is unfinished."""

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits, without the GIL, until the engine has finished; False if it has not in time."""

    def poll(self) -> list[str]:
        """Slice lines (JSON) written since the last call; never waits."""

    def snapshot(self) -> Snapshot:
        """Totals since the start; never waits."""

    def now_ns(self) -> int:
        """Nanoseconds from the start; negative before it, 0 if never started."""

    @property
    def start_monotonic_ns(self) -> int | None:
        """The start on the monotonic clock; None before `start()`."""

    def whereabouts(self) -> tuple[list[str], list[str]]:
        """Where requests went and failed so far, as lines of JSON.

        What each address has answered (`address`, `completed`, `failed`, `response`, a histogram of
        the completed), and the three most frequent values of each feed in failed requests (`feed`,
        `value`, `failed`, `of` so many failed ones with the feed).
        """

    def take_journeys(self) -> list[tuple[int, str, int]]:
        """Journeys that came due since the last call: (k, name, due_ns)."""

    @property
    def journeys_fd(self) -> int | None:
        """A descriptor that is readable while `take_journeys` has something; None without any."""

    def begin(self, k: int, endpoint: str, due_ns: int, ready_ns: int) -> int | None:
        """Offers a request that journey `k` is about to send; returns the number it is known by.

        None if the run is over (or has not begun): it must not be sent then. What has not ended
        with the run is unfinished; so is a journey that never began a request. Raises ValueError
        unless due <= ready.
        """

    def end(
        self,
        step: int,
        sent_ns: int,
        first_ns: int | None,
        done_ns: int,
        error: str | None,
        status: int = 0,
        bytes_in: int = 0,
    ) -> bool:
        """Ends a request that was begun; `status` 0 means that there was no answer.

        From due to `sent_ns` is the generator's lag.

        False if it is not open: it has ended, or the run is over. Raises ValueError for times out
        of order or an unknown error kind.
        """

    def set_values(self, name: str, values: list[str]) -> None:
        """Gives a feed of the kind `given` its values: arrival k takes values[k % len].

        At any time; requests offered afterwards take the new ones. Raises ValueError for another
        feed, and for a value that cannot stand in a header where the feed does.
        """

    def take_examples(self) -> list[str]:
        """Failures to look at since the last call, as lines of JSON.

        At most five of each endpoint, kind and status: `endpoint`, `kind`, `status`, `second` (of
        its end) and, of the answer, `head` (of its body), `location` and `retry_after_s`.
        """

    def journey_done(self, k: int) -> bool:
        """Ends journey `k`; False if it is not open."""

    def take_log(
        self,
    ) -> list[tuple[int, str, int, int, int, int, str | None, dict[str, str]]]:
        """Requests with `"log": true` that ended since the last call.

        (k, endpoint, due_ns, sent_ns, done_ns, status or 0, error kind or None, {feed: value}). A
        request that never got a connection has sent_ns 0. One that had not ended with the run has
        the error "unfinished" and done_ns 0: what it did is unknown.
        """

@final
class Histogram:
    """An HdrHistogram of nanoseconds: 3 significant digits, 100 ns to one hour, clipped above."""

    def __new__(cls) -> Histogram: ...
    @staticmethod
    def decode(text: str) -> Histogram:
        """Reads HdrHistogram V2, compressed, base64. Raises ValueError."""

    def encode(self) -> str:
        """Writes HdrHistogram V2, compressed, base64."""

    def add(self, other: Histogram) -> None:
        """Adds the counts of `other`."""

    def record(self, value_ns: int, count: int = 1) -> None:
        """Counts a value `count` times."""

    def quantile(self, q: float) -> int | None:
        """The upper end of the first bucket with a share of at least `q` at or below it.

        None if empty. Raises ValueError unless 0 <= q <= 1.
        """

    @property
    def count(self) -> int:
        """How many values were recorded."""

    @property
    def min(self) -> int | None:
        """Lower end of the lowest bucket in use; None if empty."""

    @property
    def max(self) -> int | None:
        """Upper end of the highest bucket in use; None if empty."""

    @property
    def mean(self) -> float | None:
        """Mean of the buckets' middles; None if empty."""

    def buckets(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The buckets in use, ascending: (middles in ns, shape (m,); counts, shape (m,))."""

    def __len__(self) -> int: ...

def schedule(plan: str, limit: int) -> npt.NDArray[np.uint64]:
    """Due times in ns of this shard's arrivals, ascending, shape (n,), n <= limit.

    Raises ValueError for a bad plan and for a closed model, which has no schedule.
    """

@final
class NullServer:
    """An HTTP/1.1 server on a thread of its own that answers everything with 200 and `{"ok":true}`.

    `address` is "host:port", port 0 for any free one. `latency` delays each answer by a seeded
    lognormal draw: {"median_s", "p99_s"}. `stall` answers nothing that is due within `for_s` of
    every multiple of `every_s` from the start (the first after one whole period) before the end of
    that stall: {"every_s", "for_s"}. Raises ValueError (bad option) and OSError (cannot listen).
    """

    def __new__(
        cls,
        address: str = "127.0.0.1:0",
        *,
        latency: Mapping[str, float] | None = None,
        stall: Mapping[str, float] | None = None,
        seed: int = 1,
    ) -> NullServer: ...
    @property
    def port(self) -> int:
        """The port it listens on."""

    def truth(self) -> str:
        """The delays really imposed, head read to answer written: an encoded `Histogram`."""

    def stop(self) -> None:
        """Closes every connection and ends the thread."""

def serve_reference(config: str) -> None:
    """Serves one replica of the reference service until the process ends, on the calling thread.

    The process ends (exit code 0) as soon as its standard input does. `config` is a JSON object:
    `service`, `id` and `region` (names), `replication` ("async" or "sync"), `routes` (paths; none:
    the generic ones), `behaviour` (fields of `harness.platform.lab.options.Behaviour`, which draws
    delays and errors from its seed and the replica's id), `health_path`, `listen` ([host, port]),
    `database` ([host, port] of a `harness.platform.lab.database`; null keeps everything in this
    process) and, optional, `closes` ("never", "unready" or "always") and `bind` (the address that
    connections to the database come from).

    HTTP/1.1. Every collection route holds the ids "1" to "1000" from the start. `GET` on it lists,
    `POST` creates (201; a JSON `id` of the client is kept), `<route>/<id>` takes GET, PUT (upsert),
    PATCH and DELETE (idempotent). The query is ignored but for `replication=sync` on a write.
    `POST /v1/chat/completions` streams a chat completion as the behaviour's `stream` says; what
    was really sent stands at `/__lab/streams` (JSON: `time_to_first_token` and
    `inter_chunk_latency` as encoded `Histogram`s, `streams`, `broken`, `tokens`). Besides:
    `/health`, the service's `health_path`, `/ready`, `/metrics` (Prometheus text) and, to change
    the behaviour while it runs, `PUT /__lab/behaviour`. A body may have 16 MiB.

    Raises ValueError (a bad configuration: the field and what is wrong) and OSError (cannot
    listen).
    """

def serve_database(config: str) -> None:
    """Serves the database of one region of a lab until the process ends, on the calling thread.

    The process ends (exit code 0) as soon as its standard input does. `config` is a JSON object:
    `region`, `listen` ([host, port]), `peers` (region -> [host, port] of the other databases),
    `delay_s` (seconds after which a write is handed to the peers) and, optional, `stopped`
    (acknowledge and hand over nothing).

    Memory only: killed, it has lost everything and, when it comes back, fetches the full state from
    its peers before it serves; it waits 2 s for those it cannot reach. A write is acknowledged when
    it is applied here or, if it is synchronous, also in every peer in sync; a peer that has not
    acknowledged for 2 s is not. Concurrent writes to one key are resolved by the later time, then
    by the region's name.

    Every message is one JSON object in a line. A replica sends `hello`, then `w` (writes: number,
    collection, key, value or null, synchronous) and `r` (reads: number, collection, key) and is
    sent `a` (numbers of writes acknowledged), `v` (number and value of reads), `s` (all changes:
    collection, key, value), `loaded` (after the whole state) and `lag` (region -> entries and
    seconds behind). A peer sends `peer` (its region), `incarnation` and `from` (the entry it has
    come to), is sent `i` (incarnation), `n` (position), `e` (entries: collection, key, value,
    version, origin) and `complete`, and acknowledges with `ack`. `set` changes `delay_s` and
    `stopped`. What is no message ends its connection.

    Raises ValueError (a bad configuration) and OSError (cannot listen).
    """
