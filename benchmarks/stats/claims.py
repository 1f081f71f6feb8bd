"""What a comparison may claim, by Monte Carlo: `python -m benchmarks.stats claims`.

False alarms on run means of every shape, power beside the optimum, and whether `detectable` and
`runs_needed` keep what they promise.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.stats.aids import power, quick_compare
from harness.stats.compare import Comparison, compare_metric, decide
from harness.stats.interval import Floats
from harness.stats.planning import AFFORDABLE_RUNS, UNCHANGED

SEED = 9
SD = 0.02
STRICT = 1 / 1200
"""The gate's level: half of one false alarm in 600 gates."""

SHAPES = ("normal", "lognormal", "t3", "bimodal", "5 % outliers", "10 % outliers")


def run_values(random: np.random.Generator, shape: str, size: tuple[int, int]) -> Floats:
    """Run values about 1 whose logarithm has a standard deviation of about SD between outliers."""
    z: Floats = random.standard_normal(size)
    if shape == "lognormal":
        z = np.divide(np.exp(z) - math.exp(0.5), 2.16)
    elif shape == "t3":
        z = np.divide(random.standard_t(3, size), math.sqrt(3))
    elif shape == "bimodal":
        z = np.add(0.4 * z, 2.0 * (random.random(size) < 0.3))
    elif shape.endswith("outliers"):
        share = float(shape.split(maxsplit=1)[0]) / 100
        z = np.add(z, (random.random(size) < share) * math.log(5) / SD)
    result: Floats = np.exp(SD * z)
    return result


def is_claimed(found: Comparison) -> bool:
    """Whether a gate would fail: two runs or more, beyond chance at the strict level."""
    p = found.p_claim
    enough = found.candidate_runs > 1 and p is not None
    return enough and found.verdict == "regression" and p is not None and p <= STRICT


def false_alarms(random: np.random.Generator, repeats: int) -> None:
    """Share of A/A comparisons that end in a regression (margin 0), and that a gate claims."""
    heads = [f"K {k}, n {n}" for k in (5, 10, 20) for n in (1, 2, 3, 5)]
    print(f"| run values | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for shape in SHAPES:
        cells = []
        for k in (5, 10, 20):
            for n in (1, 2, 3, 5):
                draws = run_values(random, shape, (repeats, k + n))
                found = [quick_compare(x[:k], x[k:], 0.0) for x in draws]
                alarms = np.mean([one.verdict == "regression" for one in found])
                claims = np.mean([is_claimed(one) for one in found])
                cells.append(f"{alarms:.1%} / {claims:.2%}")
        print(f"| {shape} | {' | '.join(cells)} |", flush=True)


def detection(random: np.random.Generator, repeats: int) -> None:
    """Share of true slowdowns that are found, beside the optimum on normal runs."""
    print("\n| run values | shift | K | n | found | t-optimum, normal runs |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for shift, k, n in (
            (0.05, 5, 3),
            (0.05, 10, 3),
            (0.04, 10, 5),
            (0.3, 10, 3),
            (0.3, 10, 10),
        ):
            draws = run_values(random, shape, (repeats, k + n))
            draws[:, k:] *= 1 + shift
            found = np.mean(
                [quick_compare(x[:k], x[k:], 0.0).verdict == "regression" for x in draws]
            )
            best = power(math.log1p(shift), SD, k, n)
            print(f"| {shape} | {shift:.0%} | {k} | {n} | {found:.1%} | {best:.1%} |", flush=True)


def detectable(random: np.random.Generator, repeats: int) -> None:
    """How often a true shift of the size named `detectable` is a regression: 80 % is promised."""
    print("\n| sd | margin | level | K | n | found at `detectable` |\n|---|---|---|---|---|---|")
    for sd, margin, level in (
        (0.02, 0.0, 0.05), (0.01, 0.05, 0.05), (0.03, 0.05, 0.05), (0.02, 0.05, STRICT),
        (0.01, 0.05, STRICT),
    ):  # fmt: skip
        for k, n in ((3, 1), (5, 1), (5, 3), (10, 3)):
            if level == STRICT and n == 1:
                continue
            first = np.exp(sd * random.standard_normal((repeats, k + n)))
            again = np.exp(sd * random.standard_normal((repeats, k + n)))
            hits = 0
            for x, y in zip(first, again, strict=True):
                told = compare_metric(x[:k], x[k:], margin, level=level).detectable or 0.0
                found = quick_compare(y[:k], (1 + told) * y[k:], margin)
                p = found.p_value
                hits += found.verdict == "regression" and p is not None and p <= level
            print(f"| {sd:.0%} | {margin:.0%} | {level:.2%} | {k} | {n} | {hits / repeats:.1%} |")


def advice(random: np.random.Generator, repeats: int) -> None:
    """Runs in doubt, continued as advised: how often the verdict is then settled (80 %)."""
    print("\n| sd | true shift | K | n | in doubt | advised, median | settled |")
    print("|---|---|---|---|---|---|---|")
    for sd, shift, k, n in (
        (0.02, 0.0, 5, 1), (0.02, 0.0, 5, 3), (0.03, 0.0, 5, 3), (0.03, 0.02, 10, 3),
        (0.03, 0.08, 5, 3), (0.05, 0.0, 5, 3), (0.02, 0.05, 5, 3),
    ):  # fmt: skip
        found = [continued(random, sd, shift, k, n) for _ in range(repeats)]
        doubts = [one for one in found if one is not None]
        print(
            f"| {sd:.0%} | {shift:.0%} | {k} | {n} | {len(doubts) / repeats:.0%} "
            f"| {np.median([runs for runs, _ in doubts]):.0f} "
            f"| {np.mean([settled for _, settled in doubts]):.1%} |"
        )
    many = [released(random) for _ in range(4 * repeats)]
    settled = [one[1] for one in many if one is not None and one[0] <= 2 * AFFORDABLE_RUNS]
    print(
        f"\nReleases of which half change nothing and half anything up to 25 %, run-to-run sd "
        f"about 1.6 % (log sd 0.7), 5 to 10 against 1 to 5 runs: of {len(settled)} in doubt "
        f"{np.mean(settled):.1%} were settled by the runs advised (80 % promised)."
    )


def continued(
    random: np.random.Generator, sd: float, shift: float, k: int, n: int
) -> tuple[int, bool] | None:
    """Runs advised, and whether they settled it; None where there was no doubt or no advice."""
    x = np.exp(sd * random.standard_normal(k))
    y = np.exp(math.log1p(shift) + sd * random.standard_normal(n))
    found = compare_metric(x, y)
    more, back = found.runs_needed, found.baseline_runs_needed
    if found.verdict != "inconclusive" or more is None or back is None:
        return None
    x = np.append(x, np.exp(sd * random.standard_normal(back)))
    y = np.append(y, np.exp(math.log1p(shift) + sd * random.standard_normal(more)))
    return more + back, quick_compare(x, y).verdict != "inconclusive"


def released(random: np.random.Generator) -> tuple[int, bool] | None:
    """One release of the kind that the advice is made for."""
    sd = 0.016 * math.exp(0.7 * random.standard_normal())
    shift = 0.0 if random.random() < UNCHANGED else random.uniform(-0.25, 0.25)
    return continued(
        random, sd, shift, int(random.choice([5, 6, 10])), int(random.choice([1, 3, 5]))
    )


def many_metrics(random: np.random.Generator, repeats: int) -> None:
    """A/A of many metrics of the same runs decided together, and what is called trivial."""
    print("\n| metrics | K | n | any regression, alone | any regression, Holm |")
    print("|---|---|---|---|---|")
    for metrics, k, n in ((3, 5, 5), (20, 5, 5), (20, 10, 3)):
        alone = together = 0
        for _ in range(repeats):
            x = np.exp(0.05 * random.standard_normal((metrics, k + n)))
            found = {str(i): quick_compare(row[:k], row[k:], 0.0) for i, row in enumerate(x)}
            alone += any(one.verdict == "regression" for one in found.values())
            together += any(one.verdict == "regression" for one in decide(found).values())
        print(f"| {metrics} | {k} | {n} | {alone / repeats:.1%} | {together / repeats:.1%} |")
    print("\n| true shift, of the margin of 5 % | called trivial or no change |\n|---|---|")
    for times in (0.0, 0.5, 1.0, 1.2):
        x = np.exp(SD * random.standard_normal((repeats, 10)))
        x[:, 5:] *= 1.05**times
        small = np.mean(
            [quick_compare(row[:5], row[5:]).verdict in {"trivial", "no-change"} for row in x]
        )
        print(f"| {times:g} | {small:.1%} |")


def main(repeats: int) -> None:
    """Print every table; `repeats` comparisons a cell of the first."""
    random = np.random.default_rng(SEED)
    false_alarms(random, repeats)
    detection(random, repeats // 8)
    detectable(random, repeats // 8)
    advice(random, repeats // 16)
    many_metrics(random, repeats // 16)
