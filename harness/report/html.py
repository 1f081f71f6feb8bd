"""HTML: one file with everything in it, nothing fetched from anywhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import jinja2
from markupsafe import Markup

from harness.judge.model import ValidityCheck
from harness.report import figures
from harness.report.junit import clean
from harness.report.summary import Summary, Table
from harness.units import NANOSECONDS

_MARKS = {
    "pass": "pass", "fail": "fail", "inconclusive": "inconclusive", "invalid": "invalid",
    "yes": "pass", "no": "invalid",
}  # fmt: skip
"""Word of a verdict -> its class in the style sheet."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing under its heading."""

    heading: str
    caption: str
    svg: Markup


def _cell_class(table: Table, column: int, text: str) -> str:
    name = table.header[column]
    if name in {"verdict", "holds"}:
        return f"mark {_MARKS.get(text.lower(), 'open')}"
    if name in table.numbers:
        return "n"
    return "muted" if name in {"in words", "interval by"} else ""


_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("harness.report", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=lambda value: clean(value) if type(value) is str else value,  # markup is our own
)
_PAGES.globals |= {"cell_class": _cell_class, "total": figures.ALL}


def render_page(
    found: Summary,
    subtitle: str,
    charts: Sequence[Chart] = (),
    sections: Sequence[tuple[str, Table]] = (),
    *,
    template: str = "base.html",
    **more: object,
) -> str:
    """A page: the verdict with its reasons, then charts and tables, or what a template makes."""
    return _PAGES.get_template(template).render(
        summary=found, subtitle=subtitle, charts=charts, sections=sections, **more
    )


def began_text(wall_ns: int | None) -> str:
    """An instant as a reader sees it."""
    if wall_ns is None:
        return "never started"
    return datetime.fromtimestamp(wall_ns // NANOSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def validity_table(checks: Iterable[ValidityCheck]) -> Table:
    """Each condition for trusting the measurement."""
    holds = {True: "yes", False: "NO", None: "unknown"}
    rows = tuple(
        (
            check.name, holds[check.ok], check.measured, check.limit,
            f"{check.reason} Remedy: {check.remedy}."
            if check.remedy and check.ok is False
            else check.reason,
        )
        for check in checks
    )  # fmt: skip
    return Table(("check", "holds", "measured", "limit", "in words"), rows)
