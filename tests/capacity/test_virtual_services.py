"""The real search over services of known capacity in virtual time.

A few searches a kind; `python -m benchmarks.capacity` makes 200, for benchmarks/RESULTS.md.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.capacity.__main__ import Scored, score, search
from benchmarks.capacity.servers import KINDS

PLAIN = [name for name, kind in KINDS.items() if kind.plain]
SPECIAL = [name for name, kind in KINDS.items() if not kind.plain]


def in_two_of_three(name: str, holds: Callable[[Scored], bool]) -> bool:
    """Whether it holds of most of three searches; the third is made where two differ."""
    first, second = (holds(score(KINDS[name], search(name, seed))) for seed in range(2))
    return first if first == second else holds(score(KINDS[name], search(name, 2)))


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_service_is_answered_and_covered(name: str) -> None:
    assert in_two_of_three(name, lambda found: found.covered and found.answered)


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_service_is_never_answered_wrongly_without_a_word(name: str) -> None:
    assert in_two_of_three(name, lambda found: not found.silently_wrong)
