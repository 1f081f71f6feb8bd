"""What a run is doing right now: a panel on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Self, TextIO

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.load.plan import LoadPlan
from harness.messages import SliceRow, Tick
from harness.record.distribution import Distribution
from harness.report import figures
from harness.report.terminal import make_console
from harness.session.drive import Message
from harness.units import NANOSECONDS, format_duration, format_rate, format_ratio

LINE_EVERY_S = 5.0
_BARS = "▁▂▃▄▅▆▇█"
_HISTORY_S = 60
_PROGRESS_CELLS = 40


class LiveDisplay:
    """Shows the load's messages as they come; use it as a context manager."""

    def __init__(self, plan: LoadPlan, stream: TextIO) -> None:
        self._plan = plan
        self._stream = stream
        self._console = make_console(stream)
        self._terminal = self._console.is_terminal
        self._live: Live | None = None
        self._start_ns: int | None = None
        self._tick: Tick | None = None
        self._seconds: dict[int, _Second] = defaultdict(_Second)
        self._printed = float("-inf")
        self._notes: list[str] = []
        self._lock = threading.RLock()  # the panel is drawn by a thread of its own

    def __enter__(self) -> Self:
        if self._terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._panel,
                refresh_per_second=2,  # the clock shows seconds, and figures come once in one
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, message: Message) -> None:
        """Take in one message of the load child."""
        with self._lock:
            if message["type"] == "start":
                self._start_ns = message["monotonic_ns"]
            elif message["type"] == "slice":
                self._slice(message["slice"])
            elif message["type"] == "tick":
                self._tick = message
                self._line()
            elif message["type"] == "worker_lost":
                self.note(f"worker {message['worker']} was lost: the run is invalid")
            elif message["type"] == "early_end":
                self.note(f"the run ends early: {message['reason']}")

    def note(self, text: str) -> None:
        """Say something that must not be missed, such as a fault that begins."""
        if self._live is not None:
            self._notes = [*self._notes[-2:], text]
        else:
            self._console.print(f"{_clock(self._elapsed())}  {text}", soft_wrap=True)

    def _slice(self, row: SliceRow) -> None:
        if row["axis"] != "done":
            return
        second = self._seconds[row["second"]]
        second.completed += row["completed"]
        second.failed += row["failed"] + row["unfinished"]
        text = row["hist"].get("response")
        if text is not None:
            second.response = Distribution.merge([second.response, Distribution.decode(text)])
        for old in [key for key in self._seconds if key < row["second"] - _HISTORY_S]:
            del self._seconds[old]

    def _begun(self) -> bool:
        return self._start_ns is not None and time.monotonic_ns() >= self._start_ns

    def _elapsed(self) -> float:
        """Seconds from the start, which may have been announced ahead; 0 before it."""
        if self._start_ns is None:
            return 0.0
        return max(0.0, (time.monotonic_ns() - self._start_ns) / NANOSECONDS)

    def _last(self) -> _Second:
        """The newest second of which every endpoint has had time to report."""
        if not self._seconds:
            return _Second()
        newest = max(self._seconds)
        return self._seconds.get(newest - 1, self._seconds[newest])

    def _phase(self) -> str:
        if not self._begun():
            return "starting"
        elapsed = self._elapsed()
        for phase, begin, end in self._plan.profile.phases():
            if begin <= elapsed < end:
                return phase
        return "drain"

    def _figures(self) -> dict[str, str]:
        last, tick = self._last(), self._tick
        total = last.completed + last.failed
        lag = None if tick is None else tick["lag_p99_ns"]
        shown = {
            "rate": format_rate(total) if total else figures.UNKNOWN,
            "p50": figures.duration(last.response.quantile(0.50)),
            "p95": figures.duration(last.response.quantile(0.95)),
            "p99": figures.duration(last.response.quantile(0.99)),
            "errors": format_ratio(last.failed / total) if total else figures.UNKNOWN,
            "in flight": figures.UNKNOWN if tick is None else f"{tick['in_flight']:,}",
            "lag p99": format_duration(lag / NANOSECONDS) if lag is not None else figures.UNKNOWN,
        }
        if tick is not None:
            shown["generator"] = f"{tick['cpu'] * 100:.0f} % cpu"
        return shown

    def _left(self) -> str:
        left = self._plan.profile.duration_s - self._elapsed()
        return f"{_clock(left)} left" if left > 0 else "waiting for answers"

    def _line(self) -> None:
        if self._live is not None or self._elapsed() - self._printed < LINE_EVERY_S:
            return
        self._printed = self._elapsed()
        figures = "  ".join(f"{name} {text}" for name, text in self._figures().items())
        line = f"{_clock(self._elapsed())}  {self._phase():<8}  {figures}  {self._left()}"
        self._console.print(line, soft_wrap=True)
        self._stream.flush()

    def _panel(self) -> Group:
        with self._lock:
            return self._draw()

    def _draw(self) -> Group:
        elapsed, duration = self._elapsed(), self._plan.profile.duration_s
        share = min(1.0, elapsed / duration) if duration else 0.0
        done = round(share * _PROGRESS_CELLS)
        bar = Text("━" * done, style="cyan").append("━" * (_PROGRESS_CELLS - done), style="dim")
        top = Text(f"{self._phase():<9}", style="bold").append_text(bar)
        top.append(f"  {_clock(elapsed)} of {_clock(duration)}, {self._left()}", style="dim")
        figures = self._figures()
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
        for name in figures:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_row(*figures.values())
        history = Text("p95 ", style="dim").append(self._sparkline(), style="cyan")
        notes = [Text(note, style="yellow") for note in self._notes]
        return Group(top, table, history, *notes)

    def _sparkline(self) -> str:
        newest = max(self._seconds, default=0)
        found = [
            self._seconds[second].response.quantile(0.95) if second in self._seconds else None
            for second in range(max(0, newest - _HISTORY_S), newest)
        ]
        known = [latency for latency in found if latency is not None]
        if not known:
            return ""
        top = max(known)
        scaled = [0 if v is None else min(7, int(v / top * 8)) for v in found]
        bars = [" " if v is None else _BARS[s] for v, s in zip(found, scaled, strict=True)]
        return f"{''.join(bars)} up to {format_duration(top)}"


class _Second:
    """What ended in one second."""

    def __init__(self) -> None:
        self.completed = 0
        self.failed = 0
        self.response = Distribution.merge([])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes:02d}:{rest:02d}"
