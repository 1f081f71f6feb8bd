"""What a search is compared with is a result that a search printed, or is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.capacity.compare import read_capacity
from harness.errors import UsageError


def test_an_earlier_capacity_is_a_regular_file() -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        read_capacity(Path("/dev/zero"), "memorai")


@pytest.mark.parametrize(
    ("text", "words"),
    [("nope", "no JSON"), ("[]", "no low and high"), ('{"low": 1, "high": 2}', "it is about"),
     ('{"service": "memorai", "low": 1, "high": null}', "no two ends"),
     ('{"service": "memorai", "low": 1, "high": 2, "answered": false}', "not certain")],
)  # fmt: skip
def test_an_earlier_capacity_that_is_none_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "before.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_capacity(path, "memorai")
