"""Change points beside apache-otava: false alarms, F1 and time, by Monte Carlo.

A step found within 5 points of a true one counts. apache-otava runs with its defaults
(window 50, p 0.001, no least magnitude), and with the largest p at which 5 % of unchanged
series or fewer show a step: ours promises that for any noise. Each row of a table has a seed of
its own, and rows are computed in as many processes as there are processors.
Run: python -m benchmarks.stats changes (apache-otava must be installed; 3 minutes of processor)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from otava.analysis import compute_change_points
from scipy import signal

from harness.stats.changepoints import CANDIDATES, MIN_SEGMENT, change_points, find_changes
from harness.stats.interval import Floats
from harness.stats.segmentation import candidates, level, partition, partition_from

SEED = 6
NEAR = 5
KINDS = ("iid", "AR .3", "AR .6", "t3", "lognormal", "outliers", "spikes", "bimodal", "trend")

Finder = Callable[[Floats], list[int]]


def noise(kind: str, n: int, random: np.random.Generator) -> Floats:
    """About unit variance; `trend` rises by 3 sd over the series."""
    z: Floats = random.standard_normal(n)
    if kind.startswith("AR"):
        rho = float(kind.split()[1])
        shocks = random.standard_normal(n + 100) * np.sqrt(1 - rho**2)
        z = np.asarray(signal.lfilter([1.0], [1.0, -rho], shocks), dtype=np.float64)[100:]
    elif kind == "t3":
        z = np.divide(random.standard_t(3, n), np.sqrt(3))
    elif kind == "lognormal":
        z = np.divide(np.exp(z) - np.exp(0.5), 2.16)
    elif kind == "outliers":
        hit = random.random(n) < 0.03
        z = np.add(z, hit * random.choice([-1, 1], n) * random.uniform(5, 15, n))
    elif kind == "spikes":
        z = np.add(z, (random.random(n) < 0.05) * random.uniform(5, 15, n))
    elif kind == "bimodal":
        z = np.add(0.4 * z, 2.0 * (random.random(n) < 0.3))
    elif kind == "trend":
        z = np.add(z, np.linspace(0, 3, n))
    return z


def ours(x: Floats) -> tuple[list[int], list[int]]:
    """The steps claimed by this project, and those claimed or suspected."""
    found = find_changes(x)
    claimed = [point.index for point in found.claimed]
    return claimed, sorted([*claimed, *(point.index for point in found.suspected)])


def otava(x: Floats, p: float = 0.001) -> list[int]:
    """The steps found by apache-otava."""
    values = [float(v) for v in x]
    return [point.index for point in compute_change_points(values, max_pvalue=p)[0]]


UNCHANGED = (12, 20, 60, 100, 300)
LEVELS = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6, 1e-8, 1e-10)
PLANS = ((12, 1, 4.0), (20, 1, 3.0), (60, 1, 1.5), (100, 2, 2.0), (300, 4, 1.5), (300, 4, 3.0))


def in_parallel(row: Callable[[str], str], kinds: Sequence[str]) -> None:
    """Print the rows of a table, one for each kind of noise."""
    with ProcessPoolExecutor() as pool:
        for text in pool.map(row, kinds):
            print(text, flush=True)


def at_nominal(kind: str, n: int, random: np.random.Generator, repeats: int) -> Finder | None:
    """apache-otava with the largest p at which 5 % of unchanged series or fewer show a step."""
    series = [np.add(100, 3 * noise(kind, n, random)) for _ in range(repeats)]
    low, high = 0, len(LEVELS)
    while low < high:  # a smaller p finds nothing where this does not
        middle = (low + high) // 2
        few = sum(bool(otava(x, LEVELS[middle])) for x in series) <= repeats * 0.05
        low, high = (low, middle) if few else (middle + 1, high)
    return partial(otava, p=LEVELS[low]) if low < len(LEVELS) else None


def stepped(
    kind: str, n: int, steps: int, size: float, random: np.random.Generator
) -> tuple[Floats, list[int]]:
    """A series of mean 100 and sd 3 with steps of about `size` sd, at least 10 points apart."""
    edge = min(8, n // 3)
    while True:
        places = np.sort(random.choice(np.arange(edge, n - edge), steps, replace=False))
        if steps == 1 or np.diff(places).min() >= 2 * NEAR:
            break
    level = np.zeros(n)
    for place in places:
        level[place:] += size * random.choice([-1, 1]) * random.uniform(0.75, 1.25)
    return np.add(100, 3 * (noise(kind, n, random) + level)), [int(p) for p in places]


def score(found: list[int], truth: list[int]) -> Floats:
    """True positives, false positives, misses."""
    left, hits = list(found), 0
    for place in truth:
        near = [f for f in left if abs(f - place) <= NEAR]
        if near:
            left.remove(min(near, key=lambda f, place=place: abs(f - place)))  # type: ignore[misc]
            hits += 1
    return np.array([hits, len(left), len(truth) - hits], dtype=np.float64)


def false_alarms(seed: int, repeats: int) -> None:
    """Share of unchanged series with any step."""
    print(
        f"Unchanged series with any step, of {repeats}: ours claimed / ours claimed or suspected / "
        "apache-otava. `trend` rises by 3 sd and has no step, but it has changed: a step of 2 sd "
        "in 60 points explains it nearly as well, and one that a line explains too is suspected.\n"
    )
    print("| noise | " + " | ".join(f"{n} points" for n in UNCHANGED) + " |")
    print("|---|" + "---|" * len(UNCHANGED))
    in_parallel(partial(_alarm_row, seed=seed, repeats=repeats), KINDS)


def _alarm_row(kind: str, seed: int, repeats: int) -> str:
    random = np.random.default_rng([seed, 1, KINDS.index(kind)])
    cells = []
    for n in UNCHANGED:
        series = [np.add(100, 3 * noise(kind, n, random)) for _ in range(repeats)]
        seen = np.array([[*map(bool, ours(x)), bool(otava(x))] for x in series])
        cells.append(" / ".join(f"{share:.0%}" for share in seen.mean(axis=0)))
    return f"| {kind} | {' | '.join(cells)} |"


def short_series(random: np.random.Generator, repeats: int) -> None:
    """A step of +50 % (50 sd) at the last points: found alone, at its place, size within 10 %."""
    print(
        f"\nA step of 50 sd in a short series, {repeats} a row: alone, at its place, and (ours) "
        "with its size within 10 %."
    )
    print("\n| points | last changed | ours: place and size | apache-otava: place |")
    print("|---|---|---|---|")
    for n, last in ((20, 10), (20, 5), (20, 3), (40, 20), (40, 3)):
        hits = np.zeros(2)
        for _ in range(repeats):
            x = 10 * np.exp(0.01 * random.standard_normal(n))
            x[n - last :] *= 1.5
            points = change_points(x)
            hits[0] += [p.index for p in points] == [n - last] and abs(points[0].shift - 0.5) < 0.05
            hits[1] += otava(x) == [n - last]
        print(f"| {n} | {last} | {hits[0] / repeats:.1%} | {hits[1] / repeats:.1%} |", flush=True)


def f_scores(seed: int, repeats: int) -> None:
    """F1 over series with steps."""
    heads = [f"{n} points, {k} steps of {s} sd" for n, k, s in PLANS]
    print(
        f"\nF1 of {repeats} series a cell: ours claimed / ours claimed or suspected / apache-otava "
        f"/ apache-otava with the largest p at which at most 5 % of {2 * repeats} unchanged series "
        "of this noise and length show a step (0.00: below 1e-10, or not asked). The last is given "
        "the noise, which nobody knows beforehand.\n"
    )
    print("| noise | " + " | ".join([*heads, "all"]) + " |")
    print("|---|" + "---|" * (len(PLANS) + 1))
    in_parallel(partial(_score_row, seed=seed, repeats=repeats), KINDS)


def _score_row(kind: str, seed: int, repeats: int) -> str:
    random = np.random.default_rng([seed, 2, KINDS.index(kind)])
    total, cells = np.zeros((4, 3)), []
    fair = {
        n: None if kind == "trend" else at_nominal(kind, n, random, 2 * repeats)
        for n in sorted({n for n, _, _ in PLANS})
    }
    for plan in PLANS:
        here = np.zeros((4, 3))
        limited = fair[plan[0]]
        for _ in range(repeats):
            x, truth = stepped(kind, *plan, random)
            found = (*ours(x), otava(x), limited(x) if limited else [])
            here += [score(each, truth) for each in found]
        cells.append(" / ".join(map(f1, here)))
        total += here
    return f"| {kind} | {' | '.join([*cells, ' / '.join(map(f1, total))])} |"


def exactness(random: np.random.Generator, repeats: int) -> None:
    """Long series are searched over candidate places: how often is that the exact optimum?"""
    print(
        f"\nLong series, {repeats} a row: the search from candidate places against the exact "
        "dynamic programme."
    )
    print("\n| points | steps | exact optimum found | F1 of the steps against the exact ones "
          "| cost above it, in noise variances: mean, most |\n|---|---|---|---|---|")  # fmt: skip
    for n in (1000, 10_000):
        for steps in (0, 5, 20):
            same, counts, excess = 0, np.zeros(3), []
            for _ in range(repeats):
                y = noise("iid", n, random)
                for place in random.choice(np.arange(10, n - 10), steps, replace=False):
                    y[place:] += random.choice([-1, 1]) * random.uniform(0.5, 3)
                penalty = 5.5 + 3 * np.log(np.log(n))
                best = partition(y, penalty, MIN_SEGMENT)
                found = partition_from(
                    y, penalty, MIN_SEGMENT, candidates(y, MIN_SEGMENT, CANDIDATES)
                )
                same += best == found
                counts += score(found, best)
                costs = [
                    float(((y - level(y, s)) ** 2).sum()) + penalty * len(s) for s in (best, found)
                ]
                excess.append(costs[1] - costs[0])
            print(f"| {n:,} | {steps} | {same / repeats:.0%} | {f1(counts)} "
                  f"| {np.mean(excess):.2f}, {max(excess):.1f} |", flush=True)  # fmt: skip


def f1(counts: Floats) -> str:
    """2 TP / (2 TP + FP + FN); 1 where there is nothing to find and nothing was found."""
    hits, false, missed = (float(c) for c in counts)
    return f"{2 * hits / (2 * hits + false + missed) if counts.any() else 1:.2f}"


def times(random: np.random.Generator) -> None:
    """The median processor time of seven calls, in milliseconds."""
    print("\nMedian processor time of seven calls.")
    print("\n| points | steps | median processor time |\n|---|---|---|")
    for n in (12, 60, 300, 1000, 10_000):
        for steps in (0, 3):
            x: Floats = np.add(100, noise("iid", n, random))
            for i in range(1, steps + 1):
                x[i * n // (steps + 1) :] += 3
            spent = []
            for _ in range(7):
                start = time.process_time()
                find_changes(x)
                spent.append(time.process_time() - start)
            print(f"| {n:,} | {steps} | {1000 * np.median(spent):.1f} ms |")
