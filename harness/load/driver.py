"""The load child as the CLI sees it; nothing here imports Locust."""

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Protocol, Self

from harness.errors import PlatformError
from harness.load.plan import LoadPlan, plan_json
from harness.messages import LoadMessage, load_message
from harness.process import prefer
from harness.scratch import scratch

STOP_S = 30.0
"""How long a child that was told to stop may take before it is killed."""

_TAIL = 4096
_CHUNK = 1 << 16


class LoadDriver(Protocol):
    """A load that runs somewhere; a context manager that leaves nothing of it behind."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will be said."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def poll(self, timeout_s: float) -> list[LoadMessage]:
        """The messages of docs/contracts.md since the last call, waited for `timeout_s`."""
        ...

    def stop(self) -> None:
        """Ask for no new arrivals, a short drain and the totals; a second time: at once."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


class LoadProcess:
    """One load child, from start to end; a context manager that leaves no process behind.

    `environment` is the child's environment (default: this process's). The child ends by itself
    when this process does, because it watches its standard input.
    """

    def __init__(self, plan: LoadPlan, environment: Mapping[str, str] | None = None) -> None:
        self._plan = plan
        self._environment = environment
        self._buffer = b""
        self._saw_end = False
        self._files = ExitStack()
        self.ended = False

    def __enter__(self) -> Self:
        directory = self._files.enter_context(scratch("load"))
        plan = directory / "plan.json"
        plan.touch(mode=0o600)
        plan.write_bytes(plan_json(self._plan))
        self._stderr = (directory / "stderr").open("w+b")
        command = [*self._plan.target.exec_prefix, sys.executable, "-m", "harness.load", str(plan)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )
        except OSError as error:
            self._files.close()
            raise PlatformError(
                f"the load child cannot be started: {error}", f"check {command[0]}"
            ) from None
        if self._plan.target.environment.get("platform") == "lab":  # which is preferred as well
            prefer(self._process.pid)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        return self

    @property
    def _output(self) -> int:
        if self._process.stdout is None:
            raise AssertionError
        return self._process.stdout.fileno()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def poll(self, timeout_s: float) -> list[LoadMessage]:
        """What the child has said since the last call, waiting up to `timeout_s` for it.

        When it has ended, `ended` is true and, if it never gave its totals, the last message is
        `{"type": "child_died", "code": …, "stderr": …}`. Raises HarnessError for a line that is no
        message.
        """
        messages: list[LoadMessage] = []
        if not self._selector.select(timeout_s):
            return messages
        chunk = os.read(self._output, _CHUNK)
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            message = load_message(line)
            self._saw_end |= message["type"] == "end"
            messages.append(message)
        if not chunk:
            self.ended = True
            code = self._process.wait()
            if not self._saw_end:
                messages.append({"type": "child_died", "code": code, "stderr": self.stderr()})
        return messages

    def stderr(self) -> str:
        """The end of what the child wrote to standard error."""
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _TAIL))
        return self._stderr.read().decode(errors="replace").strip()

    def stop(self) -> None:
        """Ask for no new arrivals, a short drain and the totals; a second time: at once."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End the child and its workers now."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def __exit__(self, *exception: object) -> None:
        self.kill()
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()
        self._files.close()
