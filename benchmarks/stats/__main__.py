"""Every figure of the statistics, written to RESULTS.md: `python -m benchmarks.stats [NAME…]`.

Seeds are fixed: the same numbers come out anywhere, but for times. About six minutes in all.
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


def alarms() -> None:
    """False alarms and power of the run-level comparison."""
    random = np.random.default_rng(runs.SEED)
    runs.false_alarms(random, 2000)
    runs.detection(random, 4000)


def changes() -> None:
    """Change points beside apache-otava."""
    random = np.random.default_rng(steps.SEED)
    steps.false_alarms(random, 100)
    steps.short_series(random, 60)
    steps.f_scores(random, 30)
    steps.exactness(random, 12)
    steps.times(random)


FIGURES: dict[str, tuple[str, Callable[[], None]]] = {
    "alarms": ("6a. Statistics: false alarms and power of the comparison", alarms),
    "claims": ("6a2. Statistics: what a comparison may claim", lambda: claims.main(4000)),
    "coverage": ("6b. Statistics: coverage of one run's intervals", lambda: coverage.main(600)),
    "changes": ("6c. Statistics: change points beside apache-otava", changes),
    "outages": ("6d. Statistics: recovery times with false dips", lambda: outages.main(400)),
    "experiments": (
        "6d2. Statistics: experiments of a sound service that fail",
        lambda: experiments.main(400),
    ),
    "effects": (
        "6d3. Statistics: an effect seen by slowness alone",
        lambda: effects.main(200),
    ),
    "gates": ("6e. Statistics: the time of a gate", gates.main),
    "interleaved": (
        "6f. Statistics: the gate on interleaved pairs",
        lambda: interleaved.main(200),
    ),
}


def main() -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], help="default: all")
    for name in parser.parse_args().figures or FIGURES:
        title, figure = FIGURES[name]
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            figure()
        print(f"== {title}\n{text.getvalue()}", flush=True)
        write(title, f"{machine()}\n\n{text.getvalue().strip()}")


if __name__ == "__main__":
    main()
