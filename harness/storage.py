"""Files that are whole or not there, and a lock that dies with its holder."""

import contextlib
import dataclasses
import errno
import fcntl
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from harness.bounded import read_file
from harness.errors import RecordError

_REMEDIES = {
    errno.ENOSPC: "free some space or name another place",
    errno.EDQUOT: "raise the quota or name another place",
    errno.EACCES: "make it writable for this user or name another place",
    errno.EPERM: "make it writable for this user or name another place",
    errno.EROFS: "it is on a read-only file system: name another place",
    errno.ENOTDIR: "a file stands where a directory is needed: move it away",
    errno.EEXIST: "a file stands where a directory is needed: move it away",
}


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turn what the operating system says about writing into one RecordError with a remedy."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        remedy = _REMEDIES.get(error.errno or 0, "check the file system or name another place")
        raise RecordError(f"{directory}: cannot write here: {reason}", remedy) from None


def make_private(directory: Path, *, share: bool = False) -> None:
    """Make a new directory that nobody else can read, nor anything in it; with `share` all can."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700)
    if share:
        directory.chmod(0o755)


def file_mode(directory: Path) -> int:
    """The permissions of a new file: it can be read by those who may read its directory."""
    return 0o600 | (directory.stat().st_mode & 0o044)


def make_directory(directory: Path) -> None:
    """Make it, with those above it, if missing; raises RecordError where that cannot be."""
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)


def check_writable(directory: Path) -> None:
    """Raise RecordError unless files can be made in the directory; it is made if missing."""
    make_directory(directory)
    with writing(directory), tempfile.TemporaryFile(dir=directory) as probe:
        probe.write(b"x")


def write_atomic(path: Path, text: str) -> None:
    """Replace the file in one step: readers see the old or the new whole; raises RecordError."""
    with writing(path.parent):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            # A name that is not UTF-8 has surrogates, which no file can hold.
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
                os.fchmod(stream.fileno(), file_mode(path.parent))
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def json_text(document: object, *, finite: bool = True) -> str:
    """A document as every file and `--json` has it: indented, keys in their order, a last newline.

    Dataclasses, instants and numbers of numpy become what JSON has for them, others text. Raises
    ValueError for NaN and infinity, unless `finite` is off.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=not finite, default=_text)
    # An argument that is not UTF-8 has surrogates, which JSON can only escape.
    return f"{text}\n".encode("utf-8", "backslashreplace").decode()


def finite_only(value: object) -> object:
    """A document whose infinities and NaN are null: JSON knows neither."""
    if isinstance(value, Mapping):
        return {key: finite_only(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_only(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _text(value: object) -> object:
    """What others left in a document, such as an exception in Chaos Toolkit's journal, is text."""
    try:
        return plain(value)
    except TypeError:
        return str(value)


def plain(value: object) -> Any:
    """What JSON has for a value that it does not know; raises TypeError where it has nothing."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not belong in a record")


def write_json(path: Path, document: object, *, finite: bool = True) -> None:
    """Replace the file by the document in one step; raises RecordError as `write_atomic` does."""
    write_atomic(path, json_text(document, finite=finite))


def sync_directory(directory: Path) -> None:
    """Make a rename or a new file in the directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hold(directory: Path) -> int:
    """Lock a run directory for as long as this process lives; close the result to let go.

    The kernel drops the lock however the process ends, so a record in state `running` without
    it belongs to a harness that was killed.
    """
    with writing(directory):
        handle = os.open(directory, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle


def is_held(directory: Path) -> bool:
    """Whether a living process is writing this record."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises RecordError naming the file and the line."""
    try:
        text = read_file(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise RecordError(f"{path}: cannot be read: {reason}") from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # of a number of thousands of digits, too
        line = getattr(error, "lineno", 1)
        raise RecordError(f"{path}:{line}: not valid JSON", "the record is damaged") from None
    if not isinstance(value, dict):
        raise RecordError(f"{path}: expected a JSON object", "the record is damaged")
    return value


def read_lines(path: Path) -> tuple[list[dict[str, object]], bool]:
    """The objects of a JSON-lines file and whether its last line was cut short.

    A last line without its newline that does not parse is what a killed writer leaves: it is
    dropped and reported. Any other damage raises RecordError naming the file and the line; a
    file that is not there has no lines.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        return [], False
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    lines = content.split(b"\n")
    rows: list[dict[str, object]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError  # noqa: TRY301 - one place says what is wrong with a line
        except (ValueError, TypeError, RecursionError):
            if number == len(lines):
                return rows, True
            raise RecordError(
                f"{path}:{number}: not a JSON object", "the record is damaged"
            ) from None
        rows.append(row)
    return rows, False
