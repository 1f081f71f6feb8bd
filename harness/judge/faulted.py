"""How a service behaves during a fault and how fast it recovers, against earlier runs.

`baselines/<service>/chaos/<experiment>.json` holds the accepted runs. Recovery times are compared
by a log-rank test (censored ones included); latencies and errors during the fault by Student's t
on the runs (see `harness.stats.runs`): the run is the unit, not the request.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError
from scipy import special

from harness.errors import BaselineError
from harness.judge.experiment import Check, ExperimentVerdict
from harness.record.distribution import Distribution
from harness.record.run import RunRecord
from harness.stats.recovery import log_rank
from harness.stats.runs import difference
from harness.storage import make_directory, write_atomic
from harness.units import counted, format_duration, format_ratio

SCHEMA = 1
LEVEL = 0.01
"""One-sided, of each comparison: a game day makes some fifty of them."""

MARGIN = 0.25
"""The smallest change of a faulted figure that matters: a stretch of a dozen seconds scatters by a
tenth from run to run, ten times what a quiet hold does."""

ERROR_MARGIN = 0.01
LEAST = 3
"""Stored runs without which nothing is compared: two give one degree of freedom."""

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class FaultedRun:
    """One run's figures of the stage `during` (s, ratios) and its recovery.

    `recovery_s` is 0 where the users felt nothing, the time waited where `censored`.
    """

    id: str
    platform: str
    recovery_s: float
    censored: bool
    error_ratio: float
    latency_s: dict[str, float]


_RUNS = TypeAdapter(tuple[FaultedRun, ...])


def faulted_run(record: RunRecord, verdict: ExperimentVerdict) -> FaultedRun | None:
    """The figures of a valid, proven run; None when there is nothing to compare."""
    stages, found = verdict.stages, verdict.recovery
    if stages is None or found is None or verdict.spoilt is not None:
        return None
    if verdict.effect is None or not verdict.effect.proven:
        return None
    begin, end = int(stages.inject), min(math.ceil(stages.heal), record.seconds)
    series = record.series("due")
    offered = int(series.offered[begin:end].sum())
    during = Distribution.merge(record.distributions("response")[begin:end])
    if not offered or not during.count:
        return None
    recovered = 0.0 if found.impact is None else found.recovery
    return FaultedRun(
        id=record.id,
        platform=str(record.environment.get("platform") or "unknown"),
        recovery_s=(found.low or 0.0) if recovered is None else recovered,
        censored=recovered is None,
        error_ratio=float(series.lost[begin:end].sum() / offered),
        latency_s={f"p{q * 100:g}": during.quantile(q) or 0.0 for q in QUANTILES},
    )


def compare(baseline: Sequence[FaultedRun], fresh: Sequence[FaultedRun]) -> tuple[Check, ...]:
    """Recovery, errors and latency of the fault against the stored runs of the same platform."""
    if not fresh:
        return ()
    known = {run.id for run in fresh}
    stored = [r for r in baseline if r.platform == fresh[0].platform and r.id not in known]
    if len(stored) < LEAST:
        told = (
            f"A comparison needs {LEAST} stored runs, there are {len(stored)} (gameday --accept)."
        )
        return (
            Check("against stored runs", None, counted(len(stored), "run"), f">= {LEAST}", told),
        )
    return (_recoveries(stored, fresh), _errors(stored, fresh), *_latencies(stored, fresh))


def _recoveries(stored: Sequence[FaultedRun], fresh: Sequence[FaultedRun]) -> Check:
    found = log_rank(
        [run.recovery_s for run in stored], [run.censored for run in stored],
        [run.recovery_s for run in fresh], [run.censored for run in fresh],
    )  # fmt: skip
    one_sided = found.p_value / 2
    slower = found.ratio is not None and found.ratio < 1
    now = _typical(fresh)
    then = _typical(stored)
    words = f"{now} against {then}"
    told = f"Recovery took {words} in {len(stored)} stored runs (log-rank p = {found.p_value:.2g})."
    # The statistic is approximate: a handful of whole seconds cannot show less than one of them.
    big = (
        float(np.median([r.recovery_s for r in fresh]))
        >= (1 + MARGIN) * float(np.median([r.recovery_s for r in stored])) + 1.0
    )
    bad = slower and one_sided < LEVEL and big
    return Check(
        "recovery against stored runs", "fail" if bad else "pass", words, "no slower", told
    )


def _typical(runs: Sequence[FaultedRun]) -> str:
    times = [math.inf if run.censored else run.recovery_s for run in runs]
    return format_duration(float(np.median(times)))


def _errors(stored: Sequence[FaultedRun], fresh: Sequence[FaultedRun]) -> Check:
    before = [run.error_ratio for run in stored]
    now = [run.error_ratio for run in fresh]
    p, shift = _worse(before, now)
    words = f"{format_ratio(float(np.mean(now)))} against {format_ratio(float(np.mean(before)))}"
    bad = p < LEVEL and shift >= ERROR_MARGIN
    told = f"Errors during the fault: {words} in {len(stored)} stored runs (p = {p:.2g})."
    return Check("errors against stored runs", "fail" if bad else "pass", words, "no more", told)


def _latencies(stored: Sequence[FaultedRun], fresh: Sequence[FaultedRun]) -> list[Check]:
    found = []
    for name in fresh[0].latency_s:
        before = [run.latency_s[name] for run in stored if run.latency_s.get(name, 0) > 0]
        now = [run.latency_s[name] for run in fresh if run.latency_s.get(name, 0) > 0]
        if len(before) < LEAST or not now:
            continue
        p, shift = _worse([math.log(value) for value in before], [math.log(value) for value in now])
        words = (
            f"{format_duration(float(np.median(now)))} against "
            f"{format_duration(float(np.median(before)))}"
        )
        bad = p < LEVEL and shift >= math.log1p(MARGIN)
        told = f"The {name} during the fault: {words} in {len(before)} stored runs (p = {p:.2g})."
        outcome: Literal["pass", "fail"] = "fail" if bad else "pass"
        found.append(Check(f"{name} against stored runs", outcome, words, f"+{MARGIN:.0%}", told))
    return found


def _worse(before: Sequence[float], now: Sequence[float]) -> tuple[float, float]:
    """(one-sided p that the mean has risen, the shift)."""
    found = difference(before, now)
    if not found.error:
        return (0.0 if found.shift > 0 else 1.0), found.shift
    return float(special.stdtr(found.df, -found.shift / found.error)), found.shift


@dataclass(frozen=True, slots=True)
class FaultedStore:
    """The accepted runs of all experiments below one directory of baselines."""

    root: Path

    def path(self, service: str, experiment: str) -> Path:
        """The file of one experiment."""
        return self.root / service / "chaos" / f"{experiment}.json"

    def load(self, service: str, experiment: str) -> tuple[FaultedRun, ...]:
        """The stored runs; none when there is no file. Raises BaselineError when damaged."""
        path = self.path(service, experiment)
        if not path.is_file():
            return ()
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["schema"] != SCHEMA:
                raise BaselineError(
                    f"{path}: schema {document['schema']!r}, this harness knows {SCHEMA}",
                    "update the harness",
                )
            return _RUNS.validate_python(document["runs"])
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise BaselineError(
                f"{path}: not a file of faulted runs ({reason})", "restore it from version control"
            ) from None

    def accept(self, service: str, experiment: str, runs: Sequence[FaultedRun]) -> None:
        """Add runs, each once."""
        kept = {run.id: run for run in (*self.load(service, experiment), *runs)}
        path = self.path(service, experiment)
        make_directory(path.parent)
        body = {"schema": SCHEMA, "runs": [asdict(run) for _, run in sorted(kept.items())]}
        write_atomic(path, json.dumps(body, indent=1, sort_keys=True) + "\n")
