"""Every figure of the statistics, written to RESULTS.md: `python -m benchmarks.stats [NAME…]`.

Seeds are fixed: the same numbers come out anywhere, but for times. About half an hour in all;
`--share 0.2` simulates a fifth of the series.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable

import numpy as np

from benchmarks.run import machine, write
from benchmarks.stats import (
    claims,
    coverage,
    effects,
    experiments,
    gates,
    interleaved,
    outages,
    runs,
    steps,
)

Repeats = Callable[[int], int]
"""How often to repeat what is usually repeated so many times."""


def alarms(repeats: Repeats) -> None:
    """False alarms and power of the run-level comparison."""
    random = np.random.default_rng(runs.SEED)
    runs.false_alarms(random, repeats(2000))
    runs.detection(random, repeats(4000))


def changes(repeats: Repeats) -> None:
    """Change points beside apache-otava."""
    random = np.random.default_rng(steps.SEED)
    steps.false_alarms(steps.SEED, repeats(80))
    steps.f_scores(steps.SEED, repeats(60))
    steps.short_series(random, repeats(60))
    steps.exactness(random, repeats(4))
    steps.times(random)


FIGURES: dict[str, tuple[str, Callable[[Repeats], None]]] = {
    "alarms": ("6a. Statistics: false alarms and power of the comparison", alarms),
    "claims": ("6a2. Statistics: what a comparison may claim", lambda of: claims.main(of(4000))),
    "coverage": (
        "6b. Statistics: coverage of one run's intervals",
        lambda of: coverage.main(of(600)),
    ),
    "changes": ("6c. Statistics: change points beside apache-otava", changes),
    "outages": ("6d. Statistics: recovery times with false dips", lambda of: outages.main(of(400))),
    "experiments": (
        "6d2. Statistics: experiments of a sound service that fail",
        lambda of: experiments.main(of(400)),
    ),
    "effects": (
        "6d3. Statistics: an effect seen by slowness alone",
        lambda of: effects.main(of(200)),
    ),
    "gates": ("6e. Statistics: the time of a gate", lambda _: gates.main()),
    "interleaved": (
        "6f. Statistics: the gate on interleaved pairs",
        lambda of: interleaved.main(of(200)),
    ),
}


def main() -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], help="default: all")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual repeats")
    asked = parser.parse_args()
    for name in asked.figures or FIGURES:
        title, figure = FIGURES[name]
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            figure(lambda usual: max(round(usual * asked.share), 3))
        print(f"== {title}\n{text.getvalue()}", flush=True)
        write(title, f"{machine()}\n\n{text.getvalue().strip()}")


if __name__ == "__main__":
    main()
