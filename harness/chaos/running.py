"""What is running on this machine, and requests that it end.

Each run has a directory that is locked for as long as its process lives. `run.json` says what it
is; who wants it to end writes `halt.json` beside it, which the run looks for while it goes on.
"""

import getpass
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.chaos.ledger import state_directory
from harness.chaos.processes import OWNER
from harness.errors import RecordError
from harness.storage import hold, is_held, make_private, read_object, write_json, writing

SCHEMA = 1
RUN, HALT = "run.json", "halt.json"

Asked = Callable[[], str | None]
"""Who has asked that a run end; None: nobody."""

_own: list[Path] = []
"""The directory of this process: a game day is one run, whatever it consists of."""


@dataclass(frozen=True, slots=True)
class Running:
    """A living run: its directory, its process, and what it is in words."""

    directory: Path
    pid: int
    what: str

    def ask(self, who: str) -> None:
        """Ask that it end; one that has just ended needs no asking."""
        with suppress(RecordError):
            write_json(self.directory / HALT, {"schema": SCHEMA, "who": who})

    @property
    def alive(self) -> bool:
        """Whether its process holds the lock."""
        return is_held(self.directory)


def this_user() -> str:
    """Who asks, as a verdict names them: `USER at HOST`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        user = str(os.getuid())
    return f"{user} at {socket.gethostname()}"


@contextmanager
def registered(what: str) -> Iterator[Asked]:
    """Be found by `harness halt` (a game day as one run); gives what says who asked for its end."""
    if _own:
        yield lambda: _asked(_own[0])
        return
    running()  # removes what dead ones left
    directory = _directory() / f"{int(time.time())}-{secrets.token_hex(4)}"
    with writing(directory.parent):
        make_private(directory)
    lock = hold(directory)
    _own.append(directory)
    try:
        about = asdict(Running(directory, os.getpid(), what))
        write_json(directory / RUN, {"schema": SCHEMA, **about})
        yield lambda: _asked(directory)
    finally:
        _own.clear()
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def owner() -> Mapping[str, str]:
    """The variable that names this run to the processes of its activities; {}: there is none."""
    return {OWNER: str(_own[0])} if _own else {}


def running() -> tuple[Running, ...]:
    """Every living run of this user on this machine; directories of dead ones are removed."""
    found = []
    for directory in sorted(_directory().glob("*")):
        try:
            about = read_object(directory / RUN)
        except RecordError:
            continue  # it is just beginning, or ending
        if is_held(directory):
            with suppress(KeyError, TypeError, ValueError):  # it is no run's that is read so
                found.append(Running(directory, int(about["pid"]), str(about["what"])))
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return tuple(found)


def _directory() -> Path:
    return state_directory() / "running"


def _asked(directory: Path) -> str | None:
    file = directory / HALT
    if not file.exists():  # looked for twenty times a second
        return None
    try:
        return str(read_object(file)["who"])
    except (RecordError, KeyError):
        return "somebody"
