"""report.html: one file with everything in it, nothing fetched from anywhere."""

from __future__ import annotations

from datetime import UTC, datetime

import jinja2
from markupsafe import Markup

from harness.judge.model import Verdict
from harness.record.run import RunRecord
from harness.report import charts, facts
from harness.report.happened import happened
from harness.report.own_word import HEADER, own_word
from harness.units import NANOSECONDS

PAGE = jinja2.Environment(
    loader=jinja2.PackageLoader("harness.report", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_html(record: RunRecord, verdict: Verdict) -> str:
    """The report; the same record and verdict give the same bytes."""
    return PAGE.get_template("report.html").render(
        record=record,
        verdict=verdict,
        title=facts.title(record),
        began=_began(record),
        objectives=[facts.objective_row(result) for result in verdict.objectives],
        stages=[(facts.stage_row(stage), stage.statement) for stage in verdict.stages],
        stage_header=facts.STAGE_HEADER,
        endpoints=facts.endpoint_figures(record),
        quantiles=[f"p{q * 100:g}" for q in facts.QUANTILES],
        all_endpoints=facts.ALL,
        conservation=facts.conservation(record),
        errors=facts.error_counts(record),
        validity_line=facts.validity_line(verdict),
        environment=facts.environment_rows(record),
        phases=record.plan.profile.phases(),
        duration=facts.duration,
        charts=_charts(record),
        happened=happened(record),
        own_word=own_word(record),
        own_word_header=HEADER,
    )


def _charts(record: RunRecord) -> list[tuple[str, str, Markup]]:
    """(heading, caption, SVG) of every chart that has data.

    The SVG is ours: no text of the service gets into it but names that matplotlib escapes.
    """
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
    return [
        (heading, caption, Markup(own_ids(svg, f"c{number}-")))  # noqa: S704 - see above
        for number, (heading, caption, svg) in enumerate(drawn)
        if svg is not None
    ]


def own_ids(svg: str, prefix: str) -> str:
    """Identifiers that do not clash with those of the other charts on the page."""
    svg = svg.replace('id="', f'id="{prefix}').replace("url(#", f"url(#{prefix}")
    return svg.replace('href="#', f'href="#{prefix}')


def _began(record: RunRecord) -> str:
    if record.start_wall_ns is None:
        return "never started"
    began = datetime.fromtimestamp(record.start_wall_ns // NANOSECONDS, UTC)
    return began.strftime("%Y-%m-%d %H:%M:%S UTC")
