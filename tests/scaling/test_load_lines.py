"""A log that breaks off, repeats and mixes becomes one stream, or says what it lacks."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

from harness.load.kubernetes.lines import Lines


def log(first: int, last: int) -> bytes:
    """Numbered messages with Locust's own words between them."""
    lines = []
    for number in range(first, last):
        lines.append(json.dumps({"line": number, "type": "lines_missing", "count": number * 7}))
        if number % 3 == 0:
            lines.append(f"[2026-11-25] INFO/locust: word {number}")
    return ("\n".join(lines) + "\n").encode().replace(b'"line": ', b'"line":')


def values(found: Sequence[Mapping[str, object]]) -> list[object]:
    return [each["count"] for each in found]


def test_any_cut_of_the_bytes_gives_every_message_once() -> None:
    """Chunks end anywhere."""
    whole, chance = log(0, 200), random.Random(7)  # noqa: S311
    lines, found, at = Lines(), [], 0
    while at < len(whole):
        step = chance.randint(1, 90)
        found += lines.feed(whole[at : at + step])
        at += step
    assert values(found) == [number * 7 for number in range(200)]
    assert lines.missing == 0
    assert "word 198" in lines.said[-1]


def test_a_new_connection_repeats_nothing_and_loses_nothing() -> None:
    """It may begin in the middle of an old line."""
    lines = Lines()
    found = lines.feed(log(0, 20) + b'{"line":20,"type":"ti')
    lines.restart()
    again = log(15, 40)
    found += lines.feed(b'6,"count":1}\n' + again)
    assert values(found) == [number * 7 for number in range(40)]
    assert lines.missing == 0


def test_what_the_log_does_not_have_any_more_is_counted() -> None:
    """A rotated log: first a gap is seen, then its length is known."""
    lines = Lines()
    lines.feed(log(0, 10))
    lines.restart()
    assert lines.has_gap(log(14, 16))
    assert not lines.has_gap(log(8, 16))
    assert not lines.has_gap(b"no number in it\n")
    lines.feed(log(14, 16))
    assert lines.missing == 4


def test_a_line_that_only_looks_like_one_is_no_message() -> None:
    """What a scenario prints cannot end the run."""
    assert Lines().feed(b'{"line":oops}\n{"line":0}\n{"type":"end"}\n') == []
