"""A plan is exact, or refused with the field and the remedy; the same seed is the same run."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness import _engine
from tests.engine.conftest import Peer, Plan, answering, make_plan, run_plan

Start = Callable[[Callable[[socket.socket, Peer], None]], Peer]
URL = "http://127.0.0.1:1"


def profile(*segments: tuple[float, float, float], spacing: str = "poisson") -> dict[str, Any]:
    return {
        "kind": "profile",
        "spacing": spacing,
        "segments": [{"duration_s": d, "from_rate": a, "to_rate": b} for d, a, b in segments],
    }


def due(plan: Plan) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return _engine.schedule(json.dumps(plan), 10_000_000)


def test_the_same_seed_is_the_same_schedule() -> None:
    arrivals = profile((10, 100, 1000))
    first = due(make_plan(URL, arrivals=arrivals))
    assert np.array_equal(first, due(make_plan(URL, arrivals=arrivals)))
    assert not np.array_equal(first, due(make_plan(URL, arrivals=arrivals, seed=2)))


@pytest.mark.parametrize("spacing", ["constant", "poisson"])
def test_the_shards_make_up_the_whole(spacing: str) -> None:
    arrivals = profile((10, 0, 1000), (3, 0, 0), (5, 1000, 10), spacing=spacing)
    whole = due(make_plan(URL, arrivals=arrivals))
    parts = [due(make_plan(URL, arrivals=arrivals, shard=i, shards=3)) for i in range(3)]
    assert np.array_equal(whole, np.sort(np.concatenate(parts)))
    assert all(np.array_equal(part, whole[i::3]) for i, part in enumerate(parts))


def test_poisson_gaps_are_exponential_at_the_rate() -> None:
    gaps = np.diff(due(make_plan(URL, arrivals=profile((200, 500, 500))))) / 1e9
    assert abs(gaps.mean() * 500 - 1) < 0.02
    assert abs(gaps.std() * 500 - 1) < 0.02
    # Kolmogorov and Smirnov's distance; 1.95 / sqrt(n) is its 0.1 % critical value.
    x = np.sort(gaps)
    distance = np.abs(np.arange(1, x.size + 1) / x.size - (1 - np.exp(-500 * x))).max()
    assert distance < 1.95 / np.sqrt(x.size)


def test_a_ramp_has_the_rate_of_its_time() -> None:
    times = due(make_plan(URL, arrivals=profile((100, 0, 1000)))) / 1e9
    counts, _ = np.histogram(times, bins=10, range=(0, 100))
    expected = np.arange(500, 10_000, 1000)
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))


def test_a_limit_and_a_long_schedule_are_cheap() -> None:
    plan = make_plan(URL, arrivals=profile((1_000_000, 1e6, 1e6)))
    assert _engine.schedule(json.dumps(plan), 5).shape == (5,)


def test_what_is_sent_depends_on_the_seed_only(peer: Start) -> None:
    """Two shards together send exactly what one engine sends, feed values included."""
    feeds = {
        "zipf": {"kind": "zipf", "n": 100, "s": 1.2},
        "uuid": {"kind": "uuid"},
        "word": {"kind": "choice", "values": ["a", "b", "c"], "weights": [5, 2, 1]},
        "user": {"kind": "uniform", "low": 1, "high": 9},
        "row": {"kind": "choice", "values": ["x", "y"], "order": "sequence"},
    }
    requests = [
        {"name": "first", "weight": 2, "path": "/1/{zipf}/{uuid}/{word}"},
        {"name": "second", "weight": 1, "path": "/2/{user}/{row}/{row}"},
    ]

    def lines(**changes: Any) -> list[str]:
        server = peer(answering())
        run_plan(make_plan(server.url, requests=requests, feeds=feeds, **changes))
        return sorted(head.split(" ")[1] for head in server.heads)

    whole = lines()
    assert len(whole) == 30
    assert whole == lines()
    assert whole == sorted(lines(shard=0, shards=2) + lines(shard=1, shards=2))
    assert whole != lines(seed=2)
    for path in whole:
        if path.startswith("/2"):
            assert path[-1] == path[-3], "one name has one value in one request"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"targets": []}, "targets: empty"),
    ({"targets": ["localhost:80"]}, r"targets\[0\].*http://host:port"),
    ({"targets": ["ftp://localhost"]}, r"scheme \"ftp\""),
    ({"targets": ["http://"]}, r"targets\[0\]"),
    ({"targets": ["http://a:99999"]}, "port|URL"),
    ({"targets": ["http://a:0"]}, "port 0"),
    ({"targets": ["http://u:p@a"]}, "user information"),
    ({"targets": ["http://a/?x"]}, "query"),
    ({"targets": [7]}, r"targets\[0\]: invalid type"),
    ({"host": "a b"}, "host"),
    ({"requests": []}, "requests: empty"),
    ({"requests": [{"name": "a"}]}, "missing field `path`"),
    ({"requests": [{"name": "a", "path": "/", "colour": 1}]}, "unknown field `colour`"),
    ({"requests": [{"name": "a", "path": "x"}]}, "slash"),
    ({"requests": [{"name": "a", "path": "/#x"}]}, "%23"),
    ({"requests": [{"name": "a", "path": "/{x}"}]}, r"requests\[0\].path: there is no feed \"x\""),
    ({"requests": [{"name": "a", "path": "/", "body": "{"}]}, "lone brace"),
    ({"requests": [{"name": "a", "path": "/", "weight": 0}]}, r"requests\[0\].weight: 0"),
    ({"requests": [{"name": "a", "path": "/", "weight": -1}]}, "weight"),
    ({"requests": [{"name": "a", "path": "/", "timeout_s": 0}]}, r"requests\[0\].timeout_s"),
    ({"requests": [{"name": "a", "path": "/", "method": "G T"}]}, "method"),
    ({"requests": [{"name": "a", "path": "/", "headers": [["a b", "c"]]}]}, "header name"),
    ({"requests": [{"name": "a", "path": "/", "headers": [["a", "c\n"]]}]}, "characters"),
    (
        {"requests": [{"name": "a", "path": "/", "headers": [["Content-Length", "3"]]}]},
        "set by the engine",
    ),
    ({"requests": [{"name": "a", "path": "/"}] * 2}, "used twice"),
    (
        {"requests": [{"name": "a", "path": "/", "checks": [{"kind": "status", "in": [7]}]}]},
        "not a status",
    ),
    (
        {"requests": [{"name": "a", "path": "/", "checks": [{"kind": "json", "pointer": "x"}]}]},
        "RFC 6901",
    ),
    ({"requests": [{"name": "a", "path": "/", "checks": [{"kind": "dream"}]}]}, "dream"),
    ({"feeds": {"a": {"kind": "zipf", "n": 0, "s": 1}}}, "feeds.a.n"),
    ({"feeds": {"a": {"kind": "zipf", "n": 5, "s": 0}}}, "feeds.a.s"),
    ({"feeds": {"a": {"kind": "uniform", "low": 2, "high": 1}}}, "swap"),
    ({"feeds": {"a": {"kind": "choice", "values": []}}}, "at least one value"),
    ({"feeds": {"a": {"kind": "choice", "values": [1], "weights": [1, 2]}}}, "2 weights for 1"),
    ({"feeds": {"a": {"kind": "choice", "values": [1], "weights": [0]}}}, "not a weight"),
    ({"feeds": {"a": {"kind": "oracle"}}}, "oracle"),
    ({"arrivals": profile()}, "arrivals.segments: empty"),
    ({"arrivals": profile((10, 0, 0))}, "rate is 0 throughout"),
    ({"arrivals": profile((10, -1, 5))}, r"segments\[0\].from_rate: -1"),
    ({"arrivals": profile((10, 1, 1e12))}, "to_rate"),
    ({"arrivals": profile((0, 1, 1))}, "duration_s"),
    ({"arrivals": profile((1e12, 1, 1))}, "duration_s"),
    ({"arrivals": {"kind": "replay", "due_ns": []}}, "at least one instant"),
    ({"arrivals": {"kind": "replay", "due_ns": [5, 4]}}, r"due_ns\[1\].*sort"),
    ({"arrivals": {"kind": "replay", "due_ns": [5], "requests": [0, 0]}}, "2 for 1 arrivals"),
    ({"arrivals": {"kind": "replay", "due_ns": [5], "requests": [1]}}, "1 of 1 requests does not"),
    ({"arrivals": {"kind": "closed", "users": 0, "duration_s": 1}}, "users"),
    ({"arrivals": {"kind": "closed", "users": 1, "duration_s": -1}}, "duration_s"),
    ({"threads": 0}, "threads"),
    ({"threads": 4, "connections_per_target": 2}, "connections_per_target"),
    ({"shard": 2, "shards": 2}, "shard: 2 of 2"),
    ({"shards": 0}, "shards"),
    ({"max_in_flight": 0}, "max_in_flight"),
    ({"drain_s": -1}, "drain_s"),
    ({"pacing": {"slack_s": 0.011}}, r"pacing.slack_s: 0.011 s is out of range; give 0 to 0.01 s"),
    ({"pacing": {"spin_s": -1e-9}}, "pacing.spin_s"),
    ({"pacing": {"slack": 0}}, "unknown field `slack`"),
    ({"connect_timeout_s": 0}, "connect_timeout_s"),
    ({"bind": "nowhere"}, "bind"),
    ({"colour": 1}, "unknown field `colour`"),
    ({"seed": -1}, "seed"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_plan_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="plan") as caught:
        _engine.Engine(json.dumps(make_plan(URL) | change))
    text = str(caught.value)
    assert re.search(message, text), text
    assert "\n" not in text


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"seed": NaN}', '{"seed": 1} x'])
def test_what_is_not_a_plan_at_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plan"):
        _engine.Engine(text)


def test_rates_that_are_not_numbers_are_refused() -> None:
    for rate in ("NaN", "Infinity", '"many"', "null"):
        text = json.dumps(make_plan(URL)).replace("100,", f"{rate},", 1)
        with pytest.raises(ValueError, match="plan"):
            _engine.Engine(text)


def test_a_closed_model_has_no_schedule() -> None:
    arrivals = {"kind": "closed", "users": 1, "duration_s": 1}
    with pytest.raises(ValueError, match="closed model"):
        due(make_plan(URL, arrivals=arrivals))


def test_the_schedule_is_in_order() -> None:
    times = due(make_plan(URL, arrivals=profile((5, 0, 100), (5, 100, 0))))
    assert np.all(times[1:] >= times[:-1])
