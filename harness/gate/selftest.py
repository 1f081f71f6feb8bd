"""The gate judged by itself: how often it cries wolf, and which wolves it sees.

A pool of runs of unchanged software gives the false-alarm rate (A/A): it is split at random into
baseline and candidates. Runs with one endpoint made slower by a known share give the power.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from harness.baseline import AcceptedRun, measure
from harness.errors import UsageError
from harness.gate.compare import compare_runs
from harness.gate.model import GateVerdict, Policy
from harness.gate.run import make_run
from harness.session.options import RunOptions, Say
from harness.stats.errors import binomial_bounds
from harness.stats.interval import Interval

SCHEMA = 1
SLOWDOWNS = (0.02, 0.05, 0.10, 0.20)
CANDIDATES = 3
LEAST_BASELINE = 5
SPLITS = 400
"""Random splits of the A/A pool: enough that the split's own chance is below a percent."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How the gates of one kind ended; `slowdown` 0 is A/A.

    `failed` counts claimed regressions, `suspected` the gates that asked for more runs because of
    one. `trials` is how many gates are independent (disjoint candidates): the intervals rest on
    those, not on the number of splits.
    """

    slowdown: float
    gates: int
    failed: int
    suspected: int
    trials: int
    fail_rate: Interval
    alarm_rate: Interval


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the gate's own test found on one service."""

    service: str
    endpoint: str
    policy: Policy
    baseline_runs: int
    candidates: int
    rates: tuple[Rate, ...]

    def as_dict(self) -> dict[str, object]:
        """self-test.json."""
        return {"schema": SCHEMA, **asdict(self)}


def self_test(
    options: RunOptions,
    endpoint: str,
    paths: Sequence[str],
    runs: int,
    policy: Policy,
    say: Say,
    slowdowns: Sequence[float] = SLOWDOWNS,
) -> SelfTest:
    """Make the runs on the lab and judge the gate by them.

    `runs` unchanged ones, then CANDIDATES of each slowdown of the routes `paths`. Raises UsageError
    for too few runs, Invalid when the machine cannot measure.
    """
    if runs < LEAST_BASELINE + CANDIDATES:
        least = LEAST_BASELINE + CANDIDATES
        raise UsageError(f"a self-test of {runs} unchanged runs", f"give --runs {least} or more")
    first = options.seed or 1
    pool = []
    for at in range(runs):
        say(f"A/A run {at + 1} of {runs}")
        pool.append(measure(make_run(options, first + at, say)))
    rates = [false_alarms(pool, options.service, policy)]
    for level, slowdown in enumerate(slowdowns):
        slower = {path: {"factor": 1 + slowdown} for path in paths}
        slow = {**options.behaviour, "slow": slower}
        changed = replace(options, behaviour=slow)
        made = []
        for at in range(CANDIDATES):
            say(f"{slowdown:.0%} slower on {endpoint}, run {at + 1} of {CANDIDATES}")
            seed = first + runs + level * CANDIDATES + at
            made.append(measure(make_run(changed, seed, say)))
        rates.append(power(pool, made, slowdown, options.service, policy))
    return SelfTest(options.service, endpoint, policy, runs - CANDIDATES, CANDIDATES, tuple(rates))


def false_alarms(pool: Sequence[AcceptedRun], service: str, policy: Policy) -> Rate:
    """Random splits of unchanged runs into baseline and candidates, all of them false alarms."""
    chance = random.Random(1)  # noqa: S311 - a split, no secret
    verdicts = []
    for _ in range(SPLITS):
        shuffled = chance.sample(list(pool), len(pool))
        verdicts.append(
            compare_runs(
                service, service, shuffled[CANDIDATES:], shuffled[:CANDIDATES], policy=policy
            )
        )
    return _rate(0.0, verdicts, len(pool) // CANDIDATES)


def power(
    pool: Sequence[AcceptedRun],
    changed: Sequence[AcceptedRun],
    slowdown: float,
    service: str,
    policy: Policy,
) -> Rate:
    """Disjoint groups of slowed runs against all unchanged ones."""
    groups = [changed[at : at + CANDIDATES] for at in range(0, len(changed), CANDIDATES)]
    verdicts = [compare_runs(service, service, pool, each, policy=policy) for each in groups]
    return _rate(slowdown, verdicts, len(verdicts))


def _rate(slowdown: float, verdicts: Sequence[GateVerdict], trials: int) -> Rate:
    failed = sum(verdict.outcome == "fail" for verdict in verdicts)
    suspected = sum(
        verdict.outcome == "inconclusive"
        and any(row.outcome == "suspected" for row in verdict.rows if row.gating)
        for verdict in verdicts
    )
    scale = trials / len(verdicts)
    return Rate(
        slowdown=slowdown,
        gates=len(verdicts),
        failed=failed,
        suspected=suspected,
        trials=trials,
        fail_rate=binomial_bounds(failed * scale, trials),
        alarm_rate=binomial_bounds((failed + suspected) * scale, trials),
    )
