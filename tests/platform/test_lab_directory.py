"""The lab's directory under the temporary one is this user's alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import PlatformError
from harness.scratch import private_root


def test_a_link_is_never_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write there could lead the lab's tidying into another directory."""
    (tmp_path / "other").mkdir()
    (tmp_path / f"harness-{os.getuid()}").symlink_to(tmp_path / "other")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(PlatformError, match="no directory"):
        private_root()
