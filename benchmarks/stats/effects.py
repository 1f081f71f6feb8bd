"""Entry points that seem slow where nothing was broken, and slowness that is seen, by Monte Carlo.

Run: python -m benchmarks.stats effects
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from harness.events import Canary
from harness.judge.effect import effect_of
from harness.stats.interval import Floats

SEED = 19
BEFORE, END_S, PER_SECOND = 14.0, 16.0, 5
ENTRY_POINTS, NODES = 8, 4

Noise = Callable[[np.random.Generator, Floats], Iterator[Floats]]
"""The latencies of one entry point after the other, s; each of the shape of the times given."""


def lognormal(sigma: float) -> Noise:
    """Independent answers of 20 ms."""

    def made(random: np.random.Generator, t: Floats) -> Iterator[Floats]:
        while True:
            yield 0.02 * np.exp(sigma * random.standard_normal(len(t)))

    return made


def remembering(random: np.random.Generator, t: Floats) -> Iterator[Floats]:
    """A level that wanders by a third, with a memory of two seconds."""
    while True:
        shocks = 0.15 * random.standard_normal(len(t))
        level = signal.lfilter([1.0], [1.0, -0.9], shocks)
        yield 0.02 * np.exp(level + 0.3 * random.standard_normal(len(t)))


def hiccups(every_s: float) -> Noise:
    """Stalls of the whole machine of half a second to two: all answers take ten times as long."""

    def made(random: np.random.Generator, t: Floats) -> Iterator[Floats]:
        stalled = _within(random, t, every_s, 0.5, 2.0)
        while True:
            yield np.where(stalled, 10, 1) * 0.02 * np.exp(0.3 * random.standard_normal(len(t)))

    return made


def cluster(errors: float = 0.0) -> Noise:
    """Pods that share nodes, as on a cluster; every answer apart fails with chance `errors`.

    Four nodes of two entry points each stall for half a second to two, each about once a minute
    (an image is pulled, a neighbour starts). A pod's level wanders with a memory of ten seconds;
    every fifth second or so it collects garbage for 50 to 200 ms; one answer in 50 waits for the
    pod's next CPU period of 100 ms; one in 500 takes another route and 50 ms more.
    """

    def made(random: np.random.Generator, t: Floats) -> Iterator[Floats]:
        nodes = [_within(random, t, 60.0, 0.5, 2.0) for _ in range(NODES)]
        for number in itertools.count():
            shocks = 0.06 * random.standard_normal(len(t))
            level = signal.lfilter([1.0], [1.0, -(0.9 ** (1 / 5))], shocks)
            latency = 0.02 * np.exp(level + 0.3 * random.standard_normal(len(t)))
            latency += np.where(_within(random, t, 5.0, 0.05, 0.2), 0.1, 0.0)
            latency += np.where(random.random(len(t)) < 0.02, 0.1 * random.random(len(t)), 0.0)
            latency += np.where(random.random(len(t)) < 0.002, 0.05, 0.0)
            latency *= np.where(nodes[number // 4 % NODES], 10, 1)
            yield np.where(random.random(len(t)) < errors, np.inf, latency)

    return made


def _within(
    random: np.random.Generator, t: Floats, every_s: float, least_s: float, most_s: float
) -> NDArray[np.bool_]:
    """Which times lie in stretches that begin at random, and last from `least_s` to `most_s`."""
    found = np.zeros(len(t), dtype=bool)
    for _ in range(random.poisson((t[-1] - t[0]) / every_s)):
        at = random.uniform(t[0], t[-1])
        found |= (t >= at) & (t < at + random.uniform(least_s, most_s))
    return found


NOISES: tuple[tuple[str, Noise], ...] = (
    ("lognormal, sigma 0.3", lognormal(0.3)), ("lognormal, sigma 0.5", lognormal(0.5)),
    ("lognormal, sigma 1", lognormal(1.0)), ("wandering level", remembering),
    ("a stall in 30 s", hiccups(30.0)), ("a stall in 10 s", hiccups(10.0)),
    ("a cluster", cluster()), ("a cluster, 0.05 % errors", cluster(0.0005)),
    ("a cluster, 0.5 % errors", cluster(0.005)),
)  # fmt: skip
HOLDS = (4.0, 10.0, 14.0)
CONNECTIONS: tuple[Literal["kept", "new"], ...] = ("kept", "new")


def answers(
    random: np.random.Generator, noise: Noise, hold: float, times: float, share: float
) -> Iterator[Canary]:
    """What a canary hears at each entry point; the first is `times` slower for a `share`."""
    t = np.arange(0.0, BEFORE + hold + END_S, 1 / PER_SECOND, dtype=np.float64)
    latencies = noise(random, t)
    for entry_point in range(ENTRY_POINTS):
        for connection in CONNECTIONS:
            latency = next(latencies)
            if entry_point == 0:
                hit = (t >= BEFORE) & (t < BEFORE + hold) & (random.random(len(t)) < share)
                latency[hit] *= times
            for at, each in zip(map(float, t), map(float, latency), strict=True):
                ok = math.isfinite(each)
                yield {"type": "canary", "t": at, "where": f"entry point {entry_point}",
                       "connection": connection, "ok": ok, "error": None if ok else "reset",
                       "latency_s": each if ok else 0.01}  # fmt: skip


def seen(
    random: np.random.Generator, noise: Noise, hold: float, times: float = 1.0, share: float = 1.0
) -> bool:
    """Whether an experiment shows an effect."""
    made = answers(random, noise, hold, times, share)
    return effect_of(made, (), BEFORE, BEFORE + hold, BEFORE + hold + END_S).began is not None


def main(repeats: int) -> None:
    """Print the table."""
    random = np.random.default_rng(SEED)
    print(f"{repeats} experiments a cell, {ENTRY_POINTS} entry points, {BEFORE:g} s before.\n")
    print("| noise of the answers | fault | nothing | all 3 times | half 3 times | all twice |")
    print("|---|---|---|---|---|---|")
    for name, noise in NOISES:
        for hold in HOLDS:
            cells = [
                sum(seen(random, noise, hold, times, share) for _ in range(count)) / count
                for times, share, count in (
                    (1.0, 1.0, repeats), (3.0, 1.0, repeats // 4), (3.0, 0.5, repeats // 4),
                    (2.0, 1.0, repeats // 4),
                )
            ]  # fmt: skip
            row = " | ".join(f"{cell:.1%}" for cell in cells)
            print(f"| {name} | {hold:g} s | {row} |", flush=True)
