"""How a child of an experiment speaks: JSON lines on the standard output it was started with.

It hears its owner by the standard input it was started with.
"""

import json
import os
import sys
import threading
import time
from typing import TextIO

from harness.events import ChildEvent

_lock = threading.Lock()
_stream: TextIO | None = None


def take_over_stdout() -> TextIO:
    """Keep standard output for our lines; whatever else prints goes to standard error."""
    global _stream  # noqa: PLW0603 - a process has one standard output
    _stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return _stream


def take_over_stdin() -> TextIO:
    """Keep standard input for its owner; whatever an activity reads there has ended."""
    kept = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return kept


def send(event: ChildEvent) -> None:
    """Write one event with both clocks; under plain `chaos run` nobody reads them."""
    if _stream is None:
        return
    clocks = {"wall_ns": time.time_ns(), "monotonic_ns": time.monotonic_ns()}
    with _lock:
        try:
            _stream.write(
                json.dumps({**clocks, **event}, separators=(",", ":"), default=str) + "\n"
            )
        except (BrokenPipeError, ValueError):
            os._exit(1)
