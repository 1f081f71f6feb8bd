"""All files of a report, each whole or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.judge.model import Verdict
from harness.record.run import RunRecord
from harness.record.storage import write_atomic
from harness.report.happened import told_in
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.own_word import own_word


def write_reports(record: RunRecord, verdict: Verdict, directory: Path) -> None:
    """Write verdict.json, junit.xml, summary.md and report.html.

    Raises RecordError when the disk does not take them.
    """
    write_atomic(directory / "verdict.json", render_json(verdict))
    write_pages(record, verdict, directory)


def write_pages(record: RunRecord, verdict: Verdict, directory: Path) -> None:
    """Write junit.xml, summary.md and report.html, which repeat a verdict.

    Raises RecordError when the disk does not take them.
    """
    from harness.report.html import render_html  # noqa: PLC0415 - matplotlib takes half a second

    write_atomic(directory / "junit.xml", render_junit(record, verdict))
    write_atomic(directory / "summary.md", render_markdown(record, verdict))
    write_atomic(directory / "report.html", render_html(record, verdict))


def beside(record: RunRecord) -> dict[str, Any]:
    """What `--json` shows beside a verdict: it was told during the run, and judges nothing."""
    told = own_word(record)
    return {
        "happened": list(told_in(record)),
        "prometheus": None if told is None else told.as_dict(),
    }


def render_json(verdict: Verdict) -> str:
    """The verdict with its stable keys (see `Verdict.as_dict`), indented, keys in their order."""
    return json.dumps(verdict.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
