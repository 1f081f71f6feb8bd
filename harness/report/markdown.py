"""Markdown: a comment for an issue or a pull request."""

import re

from harness.report.junit import clean
from harness.report.summary import Summary, Table
from harness.units import one_line

MOST_TEXT = 500
"""Characters of one cell or line: a name may be as long as a URL."""

_MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "❔", "invalid": "⚠️", "no verdict": "❔"}
_MARKUP = re.compile(r"([\\`*_{}\[\]#~!^$])")


def render_markdown(summary: Summary) -> str:
    """Verdict, reasons, tables and notes; no text of a service can become markup in it."""
    mark = _MARKS.get(summary.outcome, "❌")
    lines = [f"### {mark} {summary.outcome.upper()}: {escape(summary.title)}", ""]
    lines += [f"- {escape(reason)}" for reason in summary.reasons]
    for table in summary.tables:
        lines += ["", *_folded(table)]
    for note in summary.notes:
        lines += ["", escape(note)]
    if summary.lines:
        lines += ["", *(f"- {_named(name, text)}" for name, text in summary.lines)]
    if summary.provenance:
        lines += ["", *(f"<sub>{escape(line)}</sub><br>" for line in summary.provenance)]
    return "\n".join(lines) + "\n"


def _named(name: str, text: str) -> str:
    return f"{escape(name)}: {escape(text)}" if name else escape(text)


def _folded(table: Table) -> list[str]:
    if table.folded is None:
        return table_lines(table)
    head = f"<details><summary>{escape(table.folded)}</summary>"
    return [head, "", *table_lines(table), "", "</details>"]


def table_lines(table: Table) -> list[str]:
    """The table in GitHub's Markdown, a line a row."""
    rows = [table.header, tuple("---" for _ in table.header), *table.rows]
    return [f"| {' | '.join(map(escape, row))} |" for row in rows]


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no table cell, link, mention or tag of it."""
    line = _MARKUP.sub(r"\\\1", clean(one_line(text, MOST_TEXT)))
    for sign in "&<>|@":
        line = line.replace(sign, f"&#{ord(sign)};")
    return line.replace("://", "&#58;//").replace("www.", "www&#46;")
