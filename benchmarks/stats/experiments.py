"""Whole experiments of a sound service that fail all the same, by Monte Carlo over requests.

Run: python -m benchmarks.stats experiments
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from scipy import special

from harness.judge.experiment.checks import TAIL_TIMES, stalled
from harness.judge.experiment.facts import CAUTION
from harness.judge.experiment.loss import ERRORS_AFTER, ERRORS_DOUBT, SETTLED_S
from harness.judge.failover import LATENCY_TOLERANCE
from harness.stats.errors import excess_p
from harness.stats.interval import Floats
from harness.stats.recovery import Recovery, recovery

SEED = 41
BEFORE, HOLD, AFTER, LIMIT_S = 11, 10, 20, 8.0
END = BEFORE + HOLD + AFTER
ALLOWED = 0.001
MEDIAN_S, SIGMA = 0.02, math.log(3.0) / 2.326
"""The lab's own answers: 20 ms, a p99 of 60 ms."""

RATES = (20, 50, 200)
BACKGROUNDS = (0.0, 0.0001, 0.0005)
FELT = ("nothing", "errors for 3 s", "slow for 3 s", "a stall in 40 s")
STALL, STALLED_S = 1 / 40, 0.5
"""The chance of a second in which one of two nodes stalls, and for how long at most."""


def failed_by(random: np.random.Generator, rate: int, background: float, felt: str) -> set[str]:
    """The checks that such an experiment fails: judged as harness.judge.experiment does."""
    offered = np.full(END, float(rate))
    latency = [MEDIAN_S * np.exp(SIGMA * random.standard_normal(rate)) for _ in range(END)]
    errors: Floats = random.binomial(rate, background, END).astype(np.float64)
    hit = slice(BEFORE + 1, BEFORE + 4)
    if felt == "errors for 3 s":
        errors[hit] = np.round(0.4 * rate)
    elif felt == "slow for 3 s":
        latency[hit] = [10 * each for each in latency[hit]]
    elif felt == "a stall in 40 s":
        for second in np.flatnonzero(random.random(END) < STALL):
            reached = random.random(rate) < random.uniform(0.25, 0.5)
            latency[second] = latency[second] + reached * random.uniform(0, STALLED_S, rate)
    series = {
        "latency": np.array([np.quantile(each, 0.95) for each in latency]),
        "errors": errors,
        "throughput": offered - errors,
    }
    heal = BEFORE + HOLD
    found, sure = (
        recovery(
            np.arange(float(END)), series, BEFORE, heal, latency_tolerance=LATENCY_TOLERANCE,
            offered=offered, errors_allowed=ALLOWED, caution=caution,
        )
        for caution in (1.0, CAUTION)
    )  # fmt: skip
    failed = set()
    if felt == "nothing" and found.impact is not None:
        failed.add("impact")
    if all(_late(each) for each in (found, sure)):
        failed.add("recovery")
    since = math.ceil(max(heal, BEFORE + (found.recovery or 0.0)) + SETTLED_S)
    before = np.concatenate(latency[:BEFORE])
    most = TAIL_TIMES * float(np.quantile(before, 0.99))
    stalls = stalled(int((each > most).sum()) for each in latency[since:])
    late = np.concatenate([e for n, e in enumerate(latency[since:]) if n not in stalls])
    slow = int((late > most).sum())
    if np.quantile(late, 0.99) > most and excess_p(slow, len(late), 0.01) < ERRORS_AFTER:
        failed.add("tail")
    lost, sent = int(errors[since:].sum()), int(offered[since:].sum())
    if lost > ALLOWED * sent and excess_p(lost, sent, ALLOWED) < ERRORS_AFTER:
        failed.add("errors after")
    return failed


def _late(found: Recovery) -> bool:
    back = found.low if found.recovery is None else found.recovery
    return found.impact is not None and (back or 0.0) - HOLD > LIMIT_S


LAB_AFTER_S = 16
"""Seconds after the heal in the lab's own experiments, of which a pooled day is made: 14, and what
a heal leaves of the 3 s of slack."""


def caught(rate: int, loses: float, experiments: int = 1) -> tuple[float, float]:
    """The chances that a recovery which loses this share fails, and that it does not pass.

    Exact, by the binomial distribution of what is lost of the requests after it; those of several
    experiments are judged together, as a game day does.
    """
    after = AFTER if experiments == 1 else LAB_AFTER_S
    sent = experiments * rate * int(after - SETTLED_S)
    lost = np.arange(sent + 1)
    beyond = lost > ALLOWED * sent
    # The p-value falls with what is lost: the first below a level is the least that counts.
    for_level = [
        int(next(k for k in lost[beyond] if excess_p(int(k), sent, ALLOWED) < level))
        for level in (ERRORS_AFTER, ERRORS_DOUBT)
    ]
    fails, doubts = (float(special.bdtrc(least - 1, sent, loses)) for least in for_level)
    return fails, doubts


def main(repeats: int) -> None:
    """Print the tables."""
    print("| rate | one lost in | fails | does not pass |")
    print("|---|---|---|---|")
    for rate in (50, 200, 500, 1000, 2000):
        for every in (2000, 1000, 500, 200):
            fails, doubts = caught(rate, 1 / every)
            print(f"| {rate}/s | {every} | {fails:.2%} | {doubts:.2%} |")
    print("\n| experiments of a game day, 200/s | one lost in | fails | does not pass |")
    print("|---|---|---|---|")
    for experiments in (5, 10, 15, 20):
        for every in (2000, 1000, 500):
            fails, doubts = caught(200, 1 / every, experiments)
            print(f"| {experiments} | {every} | {fails:.2%} | {doubts:.2%} |")
    print()
    random = np.random.default_rng(SEED)
    print(
        f"{repeats:,} experiments a row: {BEFORE} s before, {HOLD} s of fault, {AFTER} s after.\n"
    )
    print("| rate | background errors | felt | impact | recovery | tail | errors after | failed |")
    print("|---|---|---|---|---|---|---|---|")
    for rate in RATES:
        for background in BACKGROUNDS:
            for felt in FELT:
                seen: Counter[str] = Counter()
                for _ in range(repeats):
                    names = failed_by(random, rate, background, felt)
                    seen.update(names)
                    seen["any"] += bool(names - {"impact"})
                bound = float(special.betaincinv(seen["any"] + 1, repeats - seen["any"], 0.95))
                cells = [
                    f"{seen[n] / repeats:.2%}"
                    for n in ("impact", "recovery", "tail", "errors after")
                ]
                print(
                    f"| {rate}/s | {background:.2%} | {felt} | {' | '.join(cells)} "
                    f"| {seen['any'] / repeats:.2%} (at most {bound:.2%}) |",
                    flush=True,
                )
