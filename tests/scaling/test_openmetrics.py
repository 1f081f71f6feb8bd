"""A run as OpenMetrics text."""

from __future__ import annotations

import re
from pathlib import Path

from harness.cli import run
from harness.judge import judge
from harness.report.openmetrics import render_openmetrics
from tests.record import synthetic

SAMPLE = re.compile(r'[a-z_]+\{([a-z_]+="([^"\\]|\\.)*",?)+\} -?[0-9.e+-]+')


def test_every_line_is_of_the_format_and_the_counts_are_the_records(tmp_path: Path) -> None:
    """Requests close, buckets rise to the count, one verdict is set."""
    record = synthetic.record(tmp_path)
    text = render_openmetrics(record, judge(record))
    lines = text.splitlines()
    assert lines[-1] == "# EOF"
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if not SAMPLE.fullmatch(line)] == []
    values = [(line, float(line.rsplit(" ", 1)[1])) for line in samples]
    requests = sum(value for line, value in values if line.startswith("harness_requests_total"))
    assert requests == (record.totals or {})["offered"]
    buckets = [v for line, v in values if "_bucket" in line and 'endpoint="GET recall"' in line]
    assert buckets == sorted(buckets)
    assert buckets[-1] == record.distribution("response", "hold", "GET recall").count
    assert sum(v for line, v in values if line.startswith("harness_verdict{")) == 1
    assert text.count("# TYPE harness_requests counter") == 1


def test_the_command_prints_a_stored_run(tmp_path: Path) -> None:
    """By its path as by its id; an unknown one is one line."""
    record = synthetic.record(tmp_path)
    assert run(["export", str(record.directory)]) == 0
    assert run(["export", "nothing-like-it", "--results", str(tmp_path)]) == 2
