"""The proof of whole game days counts each that nobody ended."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.chaos.figures import days
from harness.gameday.model import DIRECTORY, FILE
from tests.gameday.scorecards import day, entry


def test_a_day_that_had_to_stop_counts_and_one_that_somebody_ended_does_not(tmp_path: Path) -> None:
    held = (
        day(entry(), id="1"),
        day(entry(), id="2", stopped="fail-region did not heal"),
        day(entry(outcome="inconclusive", reasons=("In doubt.",)), id="3"),
        day(entry(), id="4", stopped="it was interrupted", interrupted=True),
        day(entry("a", "fail"), id="5", mutants=("garbage",)),
    )
    for each in held:
        directory = tmp_path / DIRECTORY / each.id
        directory.mkdir(parents=True)
        (directory / FILE).write_text(json.dumps(each.as_dict()))
    shown = days(tmp_path, " Two at a time.")
    assert shown.startswith("1 of 3 game days passed. Two at a time.\n")
    assert shown.endswith("- fail-region: inconclusive: In doubt.")
