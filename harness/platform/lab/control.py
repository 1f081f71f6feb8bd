"""The line to a lab's supervisor, from any process of the same user."""

import socket
import struct
import sys
from pathlib import Path

from harness.errors import Gone, PlatformError
from harness.platform.lab.messages import A, Request, answer_of, request_line

TIMEOUT_S = 10.0


def request(runtime: Path, asked: Request[A]) -> A:
    """Ask the supervisor of a lab; raises Gone where none answers, PlatformError on refusal."""
    with _connect(runtime) as line, line.makefile("rb") as answers:
        try:
            line.sendall(request_line(asked))
            text = answers.readline()
        except OSError:
            text = b""
    if not text.endswith(b"\n"):
        raise Gone(f"the lab in {runtime} ended", "start it again")
    try:
        return answer_of(text, asked)
    except ValueError as problem:
        raise PlatformError(f"lab: {problem}", "see `harness lab logs`") from None


def supervisor_pid(runtime: Path) -> int | None:
    """The supervisor's pid as seen from here (the kernel translates it between namespaces)."""
    with _connect(runtime) as line:
        if sys.platform != "linux":
            return None
        size = struct.calcsize("3i")
        pid: int = struct.unpack(
            "3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )[0]
        return pid


def _connect(runtime: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(TIMEOUT_S)
    try:
        line.connect(str(runtime / "control"))
    except OSError as problem:
        line.close()
        raise Gone(f"no lab answers in {runtime} ({problem.strerror})", "start one") from None
    return line
