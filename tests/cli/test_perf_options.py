"""What `harness perf` makes of its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from harness import api
from harness.cli.perf import command
from harness.session.options import RunOptions


@pytest.mark.parametrize(("words", "early"), [([], True), (["--no-early-end"], False)])
def test_a_run_ends_early_unless_that_is_declined(
    words: list[str], *, early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RunOptions] = []

    def session(options: RunOptions, say: Callable[[str], None]) -> Any:
        asked.append(options)
        raise InterruptedError

    monkeypatch.setattr(api, "session", session)
    result = CliRunner().invoke(command, ["memorai", *words])
    assert isinstance(result.exception, InterruptedError)
    assert [options.early_end for options in asked] == [early]
