"""How often a run ends early, by Monte Carlo: `python -m benchmarks.early_end [RUNS]`.

Sound and boundary services must not be ended (below 0.1 % of runs); for bad ones the table says
when. Shares of bad requests by second; requests themselves would only add less than a block has.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.run import machine, write
from harness.judge.early_end import BLOCK_S, ERROR, SURE, fails_for_certain
from harness.record.distribution import Floats

TITLE = "6g. Statistics: runs that end early"
READING = (
    "Where the level of a boundary service wanders by a factor of 2.7 for tens of seconds, the"
    " run lies on one side: about 1 % of five-minute holds end early, and each of them had"
    " already missed its objective by half as much again."
)
SEED = 11
RATE = 1000
LIMITS = 2
"""Objectives that share the probability of an error, as of the reference service."""

Make = Callable[[np.random.Generator, int, float], Floats]
"""(random, seconds, allowed) -> the bad share of each second."""


@dataclass(frozen=True)
class Cell:
    """One kind of service."""

    name: str
    truth: str
    make: Make


def steady(times: float) -> Make:
    """Requests fail independently, at a multiple of what is allowed."""

    def make(random: np.random.Generator, seconds: int, allowed: float) -> Floats:
        bad = random.binomial(RATE, min(1.0, times * allowed), seconds)
        return np.divide(bad, RATE, dtype=np.float64)

    return make


def stalls(times: float, length: int) -> Make:
    """Whole seconds are bad, `length` in a row, and all others good."""

    def make(random: np.random.Generator, seconds: int, allowed: float) -> Floats:
        bad = np.zeros(seconds + length)
        begins = np.flatnonzero(random.random(seconds + length) < times * allowed / length)
        for begin in begins:
            bad[begin : begin + length] = 1.0
        return bad[length:]

    return make


def wandering(times: float, sd: float, memory: float = 0.9) -> Make:
    """The level of each second wanders (AR(1) on the log scale), so the bad share does."""

    def make(random: np.random.Generator, seconds: int, allowed: float) -> Floats:
        noise = random.standard_normal(seconds) * math.sqrt(1 - memory**2)
        start = random.standard_normal()
        levels = itertools.accumulate(noise, lambda a, b: memory * a + b, initial=start)
        level = np.fromiter(levels, np.float64)[1:]
        spread = np.exp(sd * level - sd**2 / 2)
        bad: Floats = random.binomial(RATE, np.minimum(1.0, times * allowed * spread)) / RATE
        return bad

    return make


def one_stall(length: int) -> Make:
    """A perfect service but for one stall."""

    def make(random: np.random.Generator, seconds: int, allowed: float) -> Floats:
        bad = np.zeros(seconds)
        begin = int(random.integers(0, seconds))
        bad[begin : begin + length] = 1.0
        return bad

    return make


def dead_after(share: float) -> Make:
    """Good until then, dead to the end."""

    def make(random: np.random.Generator, seconds: int, allowed: float) -> Floats:
        return (np.arange(seconds) >= share * seconds).astype(float)

    return make


CELLS = (
    Cell("half of what is allowed, independent", "sound", steady(0.5)),
    Cell("half, stalls of 1 s", "sound", stalls(0.5, 1)),
    Cell("half, stalls of 3 s", "sound", stalls(0.5, 3)),
    Cell("one stall of 1 s", "sound", one_stall(1)),
    Cell("one stall of 3 s", "sound", one_stall(3)),
    Cell("as much as is allowed, independent", "boundary", steady(1.0)),
    Cell("as much, stalls of 1 s", "boundary", stalls(1.0, 1)),
    Cell("as much, stalls of 2 s", "boundary", stalls(1.0, 2)),
    Cell("as much, stalls of 3 s", "boundary", stalls(1.0, 3)),
    Cell("as much, wandering by 0.3 (AR 0.9)", "boundary", wandering(1.0, 0.3)),
    Cell("as much, wandering by 1.0 (AR 0.9)", "boundary", wandering(1.0, 1.0)),
    Cell("twice as much, independent", "bad", steady(2.0)),
    Cell("ten times as much, independent", "bad", steady(10.0)),
    Cell("dead from half of the hold on", "bad", dead_after(0.5)),
    Cell("dead from the hold's start on", "bad", dead_after(0.0)),
)


def ended(shares: Floats, allowed: float) -> int | None:
    """The second of the hold at which a run ends; None where it goes on to its end."""
    blocks = len(shares) // BLOCK_S
    means = shares[: blocks * BLOCK_S].reshape(blocks, BLOCK_S).mean(axis=1)
    enough = np.cumsum(means) * BLOCK_S >= SURE * allowed * len(shares)
    if not enough.any():
        return None
    for look in range(int(enough.argmax()) + 1, blocks + 1):
        if fails_for_certain(means[:look], allowed, len(shares), ERROR / LIMITS):
            return look * BLOCK_S
    return None


def cell(
    random: np.random.Generator, each: Cell, seconds: int, allowed: float, runs: int
) -> tuple[float, float, float]:
    """(share that ended, share that ended and would not have failed, median second of the end)."""
    ends, wrong = [], 0
    for _ in range(runs):
        shares = each.make(random, seconds, allowed)
        at = ended(shares, allowed)
        if at is not None:
            ends.append(at)
            wrong += bool(shares.mean() <= allowed)
    return len(ends) / runs, wrong / runs, float(np.median(ends)) if ends else math.nan


def main(runs: int) -> None:
    """Print the table."""
    random = np.random.default_rng(SEED)
    holds = (30, 60, 300, 3600)
    print(
        f"{runs:,} runs a cell, a tenth of them of an hour. Each cell: ended early (median second"
    )
    print("of the end), and in brackets those that would not have failed at their end.\n")
    print(f"| service | truth | allowed | {' | '.join(f'{hold} s' for hold in holds)} |")
    print("|---|---|---|" + "---|" * len(holds))
    for each in CELLS:
        for allowed in (0.05, 0.001):
            found = [
                cell(random, each, hold, allowed, runs if hold < 3600 else runs // 10)
                for hold in holds
            ]
            texts = " | ".join(_text(*figures) for figures in found)
            print(f"| {each.name} | {each.truth} | {allowed:.1%} | {texts} |", flush=True)


def _text(ended_share: float, wrong: float, at: float) -> str:
    if not ended_share:
        return "0"
    doubt = f" [{wrong:.2%}]" if wrong else ""
    return f"{ended_share:.2%} ({at:.0f} s){doubt}"


if __name__ == "__main__":
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    print(shown.getvalue())
    write(TITLE, f"{machine()}\n\n{shown.getvalue().strip()}\n\n{READING}")
