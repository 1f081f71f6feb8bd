"""Recovery times with false dips, and impacts where nothing was broken, by Monte Carlo.

Run: python -m benchmarks.stats outages
"""

from __future__ import annotations

import math

import numpy as np
from scipy import signal, special

from harness.stats.errors import excess_p
from harness.stats.interval import Floats
from harness.stats.recovery import recovery

SEED = 7
INJECT, BEGIN, TOTAL = 60, 62, 240
RATE = 200
EVERY = ("latency", "errors", "throughput")


def outages(random: np.random.Generator, repeats: int) -> None:
    """The error of the recovery time against the truth, with a false dip of 3 s in each outage."""
    print(
        "| noise of latency | metrics | median error | early by > 1 s | late by > 1 s | censored |"
    )
    print("|---|---|---|---|---|---|")
    for sd in (0.02, 0.05, 0.15, 0.30):
        for metrics in (("latency",), EVERY):
            errors = []
            for _ in range(repeats):
                length = int(random.integers(12, 90))
                t = np.arange(TOTAL, dtype=float)
                down = (t >= BEGIN) & (t < BEGIN + length)
                dip = BEGIN + int(random.integers(1, length - 3))
                down &= ~((t >= dip) & (t < dip + 3))
                series = {
                    "latency": np.where(down, 0.5, 0.1)
                    * np.exp(sd * random.standard_normal(TOTAL)),
                    "errors": np.where(down, random.poisson(30, TOTAL), 0).astype(float),
                    "throughput": np.where(down, 60, 100) + 3 * random.standard_normal(TOTAL),
                }
                found = recovery(t, {name: series[name] for name in metrics}, INJECT)
                truth = BEGIN - INJECT + length
                errors.append(math.nan if found.recovery is None else found.recovery - truth)
            e = np.array(errors)
            known = e[~np.isnan(e)]
            print(
                f"| {sd:.0%} | {', '.join(metrics)} | {np.median(np.abs(known)):.0f} s "
                f"| {(known < -1).mean():.2%} | {(known > 1).mean():.2%} "
                f"| {np.isnan(e).mean():.2%} |"
            )


def sound(
    random: np.random.Generator, seconds: int, background: float, memory: float = 0.0
) -> dict[str, Floats]:
    """A sound service at RATE: Poisson arrivals, p95 of each second, `background` error ratio.

    `memory` is the lag-1 correlation of a level of 5 % under the scatter of the p95 itself.
    """
    offered = random.poisson(RATE, seconds).astype(float)
    errors = random.binomial(offered.astype(int), background).astype(float)
    shocks = random.standard_normal(seconds + 50) * math.sqrt(1 - memory**2)
    level = 0.05 * signal.lfilter([1.0], [1.0, -memory], shocks)[50:] if memory else 0.0
    p95 = 0.01 * np.exp(level + 0.07 * random.standard_normal(seconds))
    late = random.binomial(offered.astype(int), 0.01)
    done = offered - errors - late + np.append(0, late[:-1])
    return {"latency": p95, "errors": errors, "throughput": done, "offered": offered}


def false_impacts(random: np.random.Generator, repeats: int) -> None:
    """Share of fault-free stretches of 180 s after 60 s (or 11 s) that show an impact."""
    print("\n| before | memory | background errors | allowed | latency | all three | and offered |")
    print("|---|---|---|---|---|---|---|")
    for before, memory, background in (
        (60, 0.0, 0.0), (60, 0.0, 0.0005), (60, 0.0, 0.001), (60, 0.9, 0.0005), (300, 0.9, 0.0005),
        (11, 0.0, 0.0005),
    ):  # fmt: skip
        hits = np.zeros(3)
        for _ in range(repeats):
            made = sound(random, before + 180, background, memory)
            t, due = np.arange(before + 180.0), made.pop("offered")
            hits[0] += recovery(t, {"latency": made["latency"]}, before).impact is not None
            hits[1] += recovery(t, made, before).impact is not None
            found = recovery(t, made, before, offered=due, errors_allowed=0.001)
            hits[2] += found.impact is not None
        cells = " | ".join(f"{hit / repeats:.2%}" for hit in hits)
        print(f"| {before} s | {memory:g} | {background:.2%} | 0.10% | {cells} |", flush=True)


def false_fails(random: np.random.Generator, repeats: int) -> None:
    """Experiments of 11 s before, a fault of 10 s felt for 5 s, 20 s after; recovery within 8 s.

    A sound service is back 5 s after the injection; it fails when the verdict is that it was later
    than 8 s after the heal, or when too many requests failed at the end.
    """
    print("\n| background errors | experiments | recovery late | errors after | failed |")
    print("|---|---|---|---|---|")
    inject, heal, end, limit = 11, 21, 41, 8.0
    for background in (0.0, 0.0001, 0.0005, 0.001):
        late = lossy = failed = 0
        for _ in range(repeats):
            made = sound(random, end, background)
            felt = slice(inject + 1, inject + 6)
            made["errors"][felt] = np.round(0.4 * made["offered"][felt])
            made["throughput"][felt] = made["offered"][felt] - made["errors"][felt]
            due = made.pop("offered")
            found = recovery(
                np.arange(float(end)), made, inject, heal, latency_tolerance=0.25, offered=due,
                errors_allowed=0.001,
            )  # fmt: skip
            back = found.low if found.recovery is None else found.recovery
            is_late = found.impact is not None and (back or 0.0) - (heal - inject) > limit
            after = slice(heal + 3, end)
            lost, sent = int(made["errors"][after].sum()), int(due[after].sum())
            is_lossy = excess_p(lost, sent, 0.001) < 0.0005
            late, lossy = late + is_late, lossy + is_lossy
            failed += is_late or is_lossy
        bound = float(special.betaincinv(failed + 1, repeats - failed, 0.95))
        print(
            f"| {background:.2%} | {repeats:,} | {late / repeats:.3%} | {lossy / repeats:.3%} "
            f"| {failed / repeats:.3%} (at most {bound:.3%}) |",
            flush=True,
        )


def main(repeats: int) -> None:
    """Print all tables."""
    random = np.random.default_rng(SEED)
    outages(random, repeats)
    false_impacts(random, 2 * repeats)
    false_fails(random, 30 * repeats)
