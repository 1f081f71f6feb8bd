"""report.html of a run: the verdict, its charts and what it was made with."""

from collections.abc import Iterable
from dataclasses import replace

from harness.judge.model import Verdict
from harness.record.run import RunRecord
from harness.report import answers, charts, figures
from harness.report.html import Chart, began_text, render_page, validity_table
from harness.report.platform_events import platform_events
from harness.report.run import summary
from harness.report.service_metrics import service_metrics
from harness.report.streams import streams_table
from harness.report.summary import Table


def _with_column(table: Table, name: str, cells: Iterable[str]) -> Table:
    rows = tuple((*row, cell) for row, cell in zip(table.rows, cells, strict=True))
    return replace(table, header=(*table.header, name), rows=rows)


def render_html(record: RunRecord, verdict: Verdict) -> str:
    """A run's report; the same record and verdict give the same bytes."""
    state = "" if record.status == "complete" else f" · {record.status}"
    counts = tuple((kind, f"{count:,}") for kind, count in figures.error_counts(record))
    return render_page(
        summary(record, verdict),
        f"{began_text(record.start_wall_ns)} · run {record.id}{state}",
        _charts(record),
        template="report.html",
        verdict=verdict,
        objectives=_with_column(
            figures.objectives_table(verdict),
            "interval by",
            (result.method or "" for result in verdict.objectives),
        ),
        stages=_with_column(
            figures.stages_table(verdict), "in words", (stage.statement for stage in verdict.stages)
        ),
        endpoints=figures.endpoint_figures(record),
        endpoint_table=figures.endpoints_table(record),
        streams=streams_table(record),
        quantiles=[f"p{q * 100:g}" for q in figures.QUANTILES],
        conservation=figures.conservation(record),
        errors=Table(("kind of failure", "requests"), counts, numbers=("requests",)),
        statuses=answers.statuses(record),
        throttled=answers.throttled(record),
        retried=answers.retried(record),
        failures=Table(("kind of failure", "what was seen"), answers.failures(record)),
        validity_line=figures.validity_line(verdict),
        validity=validity_table(verdict.validity),
        environment=figures.environment_rows(record),
        phases=record.plan.profile.phases(),
        duration=figures.duration,
        events=platform_events(record),
        server=service_metrics(record),
    )


def _charts(record: RunRecord) -> list[Chart]:
    """Every chart that has data."""
    drawn = (
        (
            "Latency by percentile",
            (
                "All completed requests of the hold. The axis stretches the tail: each step to the"
                " right is ten times rarer."
            ),
            charts.percentile_chart(record),
        ),
        (
            "Latency over time",
            (
                "Of the requests due in each second. The shaded stretch is the hold, which alone is"
                " judged."
            ),
            charts.latency_chart(record),
        ),
        (
            "Throughput and failures",
            (
                "Offered counts a request when it was due, completed when it ended: a gap between"
                " the two is a queue."
            ),
            charts.throughput_chart(record),
        ),
        (
            "The generator itself",
            (
                "Its lateness, and a null server measured beside the load. Far below the response"
                " they leave the figures to the service."
            ),
            charts.generator_chart(record),
        ),
    )
    return [Chart(heading, caption, svg) for heading, caption, svg in drawn if svg is not None]
