"""The page of the gate's own test: false alarms and power, each with its interval."""

from pathlib import Path
from typing import TextIO

from harness.gate.selftest import SelfTest
from harness.report.markdown import table_lines
from harness.report.summary import Table
from harness.report.terminal import grid, make_console
from harness.stats.interval import Interval
from harness.storage import make_directory, write_atomic, write_json
from harness.units import format_ratio

HEADER = ("change", "gates", "claimed", "95 % interval", "claimed or suspected", "95 % interval")


def rows(found: SelfTest) -> list[tuple[str, ...]]:
    """One row a slowdown, A/A first."""
    return [
        (
            "none (A/A)" if rate.slowdown == 0 else f"{rate.slowdown:.0%} on {found.endpoint}",
            f"{rate.gates} ({rate.trials} independent)",
            format_ratio(rate.failed / rate.gates),
            _span(rate.fail_rate),
            format_ratio((rate.failed + rate.suspected) / rate.gates),
            _span(rate.alarm_rate),
        )
        for rate in found.rates
    ]


def lines(found: SelfTest) -> list[str]:
    """What the table is about, in sentences."""
    policy = found.policy
    return [
        (
            f"{found.service}: {found.candidates} candidate runs against {found.baseline_runs} "
            f"unchanged ones, margin {format_ratio(policy.margin)}."
        ),
        (
            f"A regression is claimed at p <= {policy.level:.2g}: the share of one gate in a "
            f"budget of {policy.false_alarms_per_month:g} false alarms a month over "
            f"{policy.gates_per_month:g} gates. A suspicion asks for more runs."
        ),
    ]


def table(found: SelfTest) -> Table:
    """All rows, as text."""
    return Table(HEADER, tuple(rows(found)), numbers=HEADER[1:])


def print_self_test(found: SelfTest, stream: TextIO) -> None:
    """The table on a terminal."""
    console = make_console(stream)
    for line in lines(found):
        console.print(line)
    console.print(grid(table(found), console.width))


def write_self_test(found: SelfTest, directory: Path) -> None:
    """self-test.json and self-test.md in `directory`, each atomically."""
    make_directory(directory)
    text = ["# The gate's own test", "", *lines(found), "", *table_lines(table(found))]
    write_atomic(directory / "self-test.md", "\n".join(text) + "\n")
    write_json(directory / "self-test.json", found.as_dict())


def _span(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "-"
    return f"{format_ratio(interval.low)} to {format_ratio(interval.high)}"
