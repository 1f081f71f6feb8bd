"""The live display follows the load child's messages, on a terminal and off it."""

from __future__ import annotations

import io
import time

import pytest

from harness.report.live import LiveDisplay
from tests.record.synthetic import Made, messages, plan


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _play(stream: io.StringIO, *, begun_s_ago: float) -> str:
    started = time.monotonic_ns() - int(begun_s_ago * 1e9)
    with LiveDisplay(plan(), stream) as live:
        for message in messages(Made(stop_at=12)):
            shown = message
            if message["type"] == "start":
                shown = message | {"monotonic_ns": started}
            live.update(shown)
        live.note("a fault begins")
        if live._live is not None:
            live._live.refresh()
    return stream.getvalue()


def test_off_a_terminal_it_prints_plain_lines_and_few_of_them() -> None:
    lines = _play(io.StringIO(), begun_s_ago=10.0).splitlines()
    assert len(lines) == 2, "twelve ticks within five seconds make one line, and the note"
    assert lines[0].startswith("00:10  hold      rate ")
    for name in ("p50", "p95", "p99", "errors", "in flight 4", "lag p99", "00:19 left"):
        assert name in lines[0]
    assert "\x1b" not in lines[0]
    assert lines[1] == "00:10  a fault begins"


def test_on_a_terminal_it_shows_phase_progress_and_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    text = _play(_Terminal(), begun_s_ago=10.0)
    for piece in ("hold", "━", "p95", "in flight", "00:19 left", "up to", "a fault begins"):
        assert piece in text


def test_before_the_start_and_after_the_end_it_says_so() -> None:
    assert "waiting for answers" in _play(io.StringIO(), begun_s_ago=40.0)
    live = LiveDisplay(plan(), io.StringIO())
    assert live._phase() == "starting"


def test_a_lost_worker_is_told_at_once() -> None:
    stream = io.StringIO()
    LiveDisplay(plan(), stream).update(
        {
            "type": "worker_lost",
            "worker": 3,
            "shards": 4,
            "last_seq": 1,
            "from_second": 2,
            "reason": "",
            "unknown": "",
        }
    )
    assert "worker 3 was lost" in stream.getvalue()
