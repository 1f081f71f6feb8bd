"""A run as OpenMetrics text, for a Pushgateway, a textfile collector or `promtool`.

Latency is the hold's, in cumulative buckets whose bounds are those of the platform's own
`http_request_duration_seconds`, so that the same queries work on both.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from harness.judge.model import PRIORITY, Verdict
from harness.judge.stored import RecordVerdict
from harness.record.distribution import Distribution
from harness.record.run import RunRecord

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES = ("completed", "failed", "unfinished")


def render_openmetrics(record: RunRecord, verdict: RecordVerdict) -> str:
    """The exposition, ended by `# EOF`; what is unknown has no sample."""
    run = {
        "service": record.service.name,
        "scenario": record.plan.traffic.scenario,
        "profile": record.plan.profile.name,
    }
    lines = [
        *_family(
            "harness_requests", "counter", "Requests of the whole run by what became of them."
        ),
        *_requests(record, run),
        *_family("harness_errors", "counter", "Requests of the whole run that failed, by kind."),
        *_errors(record, run),
        *_family("harness_response_seconds", "histogram", "Due to done, of the hold.", "seconds"),
        *_latency(record, run),
        *_family("harness_verdict", "stateset", "The answer to the run."),
        *(
            _sample("harness_verdict", {**run, "harness_verdict": word}, word == verdict.outcome)
            for word in PRIORITY
        ),
        *_family("harness_objective", "gauge", "What was measured of each objective."),
        *(_objectives(verdict, run) if isinstance(verdict, Verdict) else ()),
    ]
    if record.start_wall_ns is not None:
        lines += _family("harness_run_start_seconds", "gauge", "When it began (Unix).", "seconds")
        lines.append(_sample("harness_run_start_seconds", run, record.start_wall_ns / 1e9))
    return "\n".join([*lines, "# EOF"]) + "\n"


def _requests(record: RunRecord, run: Mapping[str, str]) -> Iterator[str]:
    for endpoint in record.endpoints:
        due = record.series("due", endpoint)
        for outcome in OUTCOMES:
            labels = {**run, "endpoint": endpoint, "outcome": outcome}
            yield _sample("harness_requests_total", labels, int(getattr(due, outcome).sum()))


def _errors(record: RunRecord, run: Mapping[str, str]) -> Iterator[str]:
    for kind, counts in record.series("due").errors.items():
        yield _sample("harness_errors_total", {**run, "kind": kind}, int(counts.sum()))


def _latency(record: RunRecord, run: Mapping[str, str]) -> Iterator[str]:
    for endpoint in record.endpoints:
        labels = {**run, "endpoint": endpoint}
        found = record.distribution("response", "hold", endpoint)
        name = "harness_response_seconds"
        for bound, count in cumulative(found):
            yield _sample(f"{name}_bucket", {**labels, "le": bound}, count)
        yield _sample(f"{name}_sum", labels, float(found.values @ found.counts))
        yield _sample(f"{name}_count", labels, found.count)


def cumulative(found: Distribution) -> Iterable[tuple[str, int]]:
    """(`le`, how many took at most that long), with `+Inf` at the end."""
    total = np.concatenate([[0], np.cumsum(found.counts)])
    for bound in BOUNDS_S:
        yield str(bound), int(total[np.searchsorted(found.values, bound, side="right")])
    yield "+Inf", found.count


def _objectives(verdict: Verdict, run: Mapping[str, str]) -> Iterator[str]:
    for result in verdict.objectives:
        if result.estimate is not None:
            labels = {**run, "objective": result.objective.name}
            yield _sample("harness_objective", labels, result.estimate)


def _family(name: str, kind: str, text: str, unit: str | None = None) -> list[str]:
    lines = [f"# TYPE {name} {kind}"]
    if unit is not None:
        lines.append(f"# UNIT {name} {unit}")
    return [*lines, f"# HELP {name} {text}"]


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value + 0:.10g}"


def _escaped(text: str) -> str:
    shown = (
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
    text = "".join(shown)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
