"""Change points beside apache-otava: false alarms, F1 and time, by Monte Carlo.

A step found within 5 points of a true one counts. apache-otava runs with its defaults
(window 50, p 0.001, no least magnitude).
Run: python benchmarks/stats/steps.py [repeats]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from otava.analysis import compute_change_points
from scipy import signal

from harness.stats.changepoints import change_points
from harness.stats.interval import Floats

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


def ours(x: Floats) -> list[int]:
    """The steps found by this project."""
    return [point.index for point in change_points(x)]


def otava(x: Floats) -> list[int]:
    """The steps found by apache-otava."""
    return [point.index for point in compute_change_points([float(v) for v in x])[0]]


FINDERS: dict[str, Finder] = {"ours": ours, "apache-otava": otava}


def stepped(
    kind: str, n: int, steps: int, size: float, random: np.random.Generator
) -> tuple[Floats, list[int]]:
    """A series of mean 100 and sd 3 with steps of about `size` sd, at least 10 points apart."""
    while True:
        places = np.sort(random.choice(np.arange(8, n - 8), steps, replace=False))
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


def false_alarms(random: np.random.Generator, repeats: int) -> None:
    """Share of unchanged series with any step."""
    print("| noise | " + " | ".join(f"{f}, {n} points" for n in (50, 100, 300) for f in FINDERS))
    print("|---|" + "---|" * 6)
    for kind in KINDS:
        cells = []
        for n in (50, 100, 300):
            series = [np.add(100, 3 * noise(kind, n, random)) for _ in range(repeats)]
            for name, find in FINDERS.items():
                some = series if name == "ours" else series[: repeats // 3]
                cells.append(f"{np.mean([bool(find(x)) for x in some]):.1%}")
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


def short_series(random: np.random.Generator, repeats: int) -> None:
    """A step of +50 % (50 sd) at the last points: found alone, at its place, size within 10 %."""
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


def f_scores(random: np.random.Generator, repeats: int) -> None:
    """F1 over series with steps."""
    plans = ((60, 1, 1.5), (100, 2, 2.0), (300, 4, 1.5), (300, 4, 3.0))
    heads = [f"{n} points, {k} steps of {s} sd" for n, k, s in plans]
    print("\nF1, ours / apache-otava\n\n| noise | " + " | ".join([*heads, "all"]) + " |")
    print("|---|" + "---|" * (len(plans) + 1))
    grand = {name: np.zeros(3) for name in FINDERS}
    for kind in KINDS:
        total, cells = {name: np.zeros(3) for name in FINDERS}, []
        for plan in plans:
            here = {name: np.zeros(3) for name in FINDERS}
            for _ in range(repeats):
                x, truth = stepped(kind, *plan, random)
                for name, find in FINDERS.items():
                    here[name] += score(find(x), truth)
            cells.append(" / ".join(f1(here[name]) for name in FINDERS))
            for name in FINDERS:
                total[name] += here[name]
                grand[name] += here[name]
        cells.append(" / ".join(f1(total[name]) for name in FINDERS))
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)
    print("\nAll: " + " / ".join(f1(grand[name]) for name in FINDERS))


def f1(counts: Floats) -> str:
    """2 TP / (2 TP + FP + FN)."""
    hits, false, missed = (float(c) for c in counts)
    return f"{2 * hits / (2 * hits + false + missed):.2f}"


def times(random: np.random.Generator) -> None:
    """The median of seven calls, in milliseconds."""
    print("\n| points | steps | median time |\n|---|---|---|")
    for n in (300, 10_000, 1_000_000):
        for steps in (0, 3):
            x: Floats = np.add(100, noise("iid", n, random))
            for i in range(1, steps + 1):
                x[i * n // (steps + 1) :] += 3
            spent = []
            for _ in range(7):
                start = time.perf_counter()
                ours(x)
                spent.append(time.perf_counter() - start)
            print(f"| {n:,} | {steps} | {1000 * np.median(spent):.1f} ms |")


if __name__ == "__main__":
    rng = np.random.default_rng(SEED)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    false_alarms(rng, 5 * count)
    f_scores(rng, count)
    times(rng)
