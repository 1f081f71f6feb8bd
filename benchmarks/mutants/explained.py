"""Edits that no test can notice, or that none should, each with the reason.

A key is what `python -m benchmarks.mutants` prints after the line, or how that begins.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTINUOUS = "equal values do not occur: both sides are measured, and continuous"
SEED = "a seed: another gives another sample of the same distribution"
COST = "how finely a figure is computed: more costs time and changes no digit that is shown"
BRACKET = "the bracket of a root, wide either way"
SECANT = "the secant method in the place of false position: the same root"
SEARCH = (
    "a cost: both searches find the same steps, of 1,000 and of 10,000 points in 36 of 36 series"
    " (RESULTS 6c)"
)
ROUNDING = "between the rounding of numbers (1e-16) and what occurs: ten times it changes nothing"

EXPLAINED: Mapping[str, str] = {
    "harness/chaos/alert.py: AlertGuard.stop: time.monotonic() - self._seen > BL": CONTINUOUS,
    "harness/chaos/subprocesses.py: Child.close: stream is not None and": "a child has a standard"
    " input, and to close it twice changes nothing",
    "harness/chaos/toolkit_runner.py: main: 0 -> None": "a process ends with 0 either way",
    "harness/faults/registry.py: kinds: found -> None": "they are kept since the tests were"
    " collected, which asked for them before the edit",
    "harness/faults/registry.py: nearest: near = difflib": "the nearest is the first of one or two",
    "harness/gate/decide.py: _claimed: adjusted <= policy.level / 2 -> (adjusted <": CONTINUOUS,
    "harness/gate/noise.py: GRID": COST,
    "harness/gate/noise.py: Noise.sentences: most <= policy.margin -> (most <": CONTINUOUS,
    "harness/gate/noise.py: Noise.sentences: least > policy.margin -> (least >=": CONTINUOUS,
    "harness/gate/noise.py: visible_shift: distance =": BRACKET,
    "harness/gate/revisions.py: BUILD_S": "a time-out that ends a build which hangs",
    "harness/gate/selftest.py: SPLITS": COST,
    "harness/gate/spread.py: independent_endpoints: of_square <= 0 -> (of_square <": CONTINUOUS,
    "harness/judge/changes.py: _clear: shift >= LEAST_FACTOR - 1 -> (shift >": CONTINUOUS,
    "harness/judge/experiment/checks.py: _late_tail: quiet <= most -> (quiet <": CONTINUOUS,
    "harness/judge/experiment/checks.py: _writes: (found.rpo_s or 0.0) > expect.rpo": CONTINUOUS,
    "harness/judge/faulted.py: _errors: shift >= ERROR_MARGIN -> (shift >": CONTINUOUS,
    "harness/judge/objectives.py: _Carried.against: self.most < need -> (self.most <=": CONTINUOUS,
    "harness/judge/wording.py: price: more_s < 7200 -> (more_s <=": CONTINUOUS,
    "harness/judge/objectives.py: _availability: high < objective.threshold -> (h": CONTINUOUS,
    "harness/stats/changepoints.py: SEED": SEED,
    "harness/stats/changepoints.py: _rescored: scale <= ROUNDING * float(np.abs(f": CONTINUOUS,
    "harness/stats/changepoints.py: _step_fit: len(y) <= EXACT_POINTS -> (len(y) <": SEARCH,
    "harness/stats/changepoints.py: CANDIDATES": "only where the search begins: from 1 place a size"
    " it finds the exact steps in 19 of 20 series (tests), from 24 in 36 of 36 (RESULTS 6c)",
    "harness/stats/changepoints.py: EXACT_POINTS": SEARCH,
    "harness/stats/changepoints.py: LIKELY: 0.6 -> 0.3": "weaker steps hardly ever have the"
    " evidence: of 120 short series one more step was found, one more was false",
    "harness/stats/changepoints.py: _fit: schwarz(tame, fit.steps, None) < schwarz(": CONTINUOUS,
    "harness/stats/drift.py: MOST": COST,
    "harness/stats/interval.py: MANY": COST,
    "harness/stats/noise.py: LEAST_VARIANCE": ROUNDING,
    "harness/stats/outliers.py: outliers: chance * len(part) <= LEVEL -> (chance": CONTINUOUS,
    "harness/stats/planning.py: DRAWS": COST,
    "harness/stats/planning.py: POINTS": COST,
    "harness/stats/planning.py: PRECISION": COST,
    "harness/stats/planning.py: SEED": SEED,
    "harness/stats/planning.py: _least: found < 0 -> (found <= 0)": CONTINUOUS,
    "harness/stats/planning.py: _least: low, high = ((at, found), high) if found < [": SECANT,
    "harness/stats/quantiles.py: _EPSILON": ROUNDING,
    "harness/stats/segmentation.py: ROUNDING": ROUNDING,
    "harness/stats/shares.py: _more_for_interval: MOST_WORTH_S / seconds -> ": BRACKET,
}


def reason(key: str) -> str | None:
    """Why no test notices an edit; None where that is not known."""
    return next((why for known, why in EXPLAINED.items() if key.startswith(known)), None)
