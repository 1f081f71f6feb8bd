"""The children of an experiment beside the load: started, heard, ended, never left behind."""

import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from harness.chaos.processes import end_session
from harness.errors import PlatformError
from harness.events import ExperimentEvent, child_event
from harness.redact import redact
from harness.storage import write_atomic

Inbox = queue.SimpleQueue[ExperimentEvent]

END_S = 20.0
"""How long a child may take to end after its standard input has: its rollbacks heal."""


def keep_log(log: Path, directory: Path) -> str:
    """Keep what a child wrote beside the record, without secrets; returns its last line or ""."""
    try:
        text = str(redact(log.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return ""
    write_atomic(directory / log.name, text)
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


class Child:
    """`python -m MODULE ARGUMENTS`; its lines go to the inbox, and its end as `child_ended`.

    A context manager. `grace_s` is how long it may take to end by itself when it is left.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        inbox: Inbox,
        *,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        log: Path,
        grace_s: float = 0.0,
    ) -> None:
        self.module = module
        self._command = [*prefix, sys.executable, "-m", module, *arguments]
        self._inbox = inbox
        self._environment = environment
        self._log = log
        self._grace_s = grace_s

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=self._environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise PlatformError(
                    f"{self.module} cannot be started: {error}", f"check {self._command[0]}"
                ) from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def go(self) -> None:
        """Send the line that it waits for; one that is gone is told by its end."""
        stream = self._process.stdin
        if stream is not None:
            try:
                stream.write(b"go\n")
                stream.flush()
            except OSError:
                return

    def close(self) -> None:
        """End its standard input: the sign to end."""
        stream = self._process.stdin
        if stream is not None and not stream.closed:
            try:
                stream.close()
            except OSError:
                return

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within that time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read(self) -> None:
        if self._process.stdout is None:
            raise AssertionError
        for line in self._process.stdout:
            try:
                self._inbox.put(child_event(line))
            except ValueError as problem:
                with self._log.open("a", encoding="utf-8") as log:
                    log.write(f"{self.module}: {problem}\n")
        self._inbox.put(
            {"type": "child_ended", "module": self.module, "code": self._process.wait()}
        )

    def __exit__(self, *exception: object) -> None:
        self.close()
        if not self.wait(self._grace_s):
            self._process.kill()
            self._process.wait()
        end_session(self._process.pid)
        self._reader.join(END_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
