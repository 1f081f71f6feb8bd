"""A file without an end is refused in one line, before it fills the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import csv_files
from harness.errors import DataError

ENDLESS = Path("/dev/zero")


def test_a_csv_file_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "MOST_BYTES", 1 << 20)
    with pytest.raises(DataError, match="larger than 1 MiB"):
        csv_files._text(ENDLESS)
