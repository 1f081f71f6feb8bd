"""A file without an end is refused in one line, before it fills the memory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.cli import csv_files
from harness.errors import DataError

ENDLESS = Path("/dev/zero")


def test_a_csv_file_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "MOST_BYTES", 1 << 20)
    with pytest.raises(DataError, match="larger than 1 MiB"):
        csv_files._text(ENDLESS)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "WRITER_S", 0.05)
    os.mkfifo(tmp_path / "pipe")
    assert csv_files._text(tmp_path / "pipe") == ""


def test_a_pipe_is_read_to_its_end_however_slowly_it_comes() -> None:
    """`<(…)` of a shell: the first bytes come when the other command has them."""
    read, write = os.pipe()
    with subprocess.Popen(["sh", "-c", "sleep 0.1; echo a; sleep 0.1; echo b"], stdout=write):
        os.close(write)
        assert csv_files._text(Path(f"/dev/fd/{read}")) == "a\nb\n"
    os.close(read)
