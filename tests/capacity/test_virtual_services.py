"""The real search over services of known capacity in virtual time.

A few searches a kind; `python -m benchmarks.capacity` makes 200, for benchmarks/RESULTS.md.
"""

from __future__ import annotations

import pytest

from benchmarks.capacity.__main__ import score, search
from benchmarks.capacity.servers import KINDS

SEARCHES = 3

PLAIN = [name for name, kind in KINDS.items() if kind.plain]
SPECIAL = [name for name, kind in KINDS.items() if not kind.plain]


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_service_is_answered_and_covered(name: str) -> None:
    found = [score(KINDS[name], search(name, seed)) for seed in range(SEARCHES)]
    assert sum(s.covered and s.answered for s in found) >= SEARCHES - 1


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_service_is_never_answered_wrongly_without_a_word(name: str) -> None:
    found = [score(KINDS[name], search(name, seed)) for seed in range(SEARCHES)]
    assert sum(s.silently_wrong for s in found) <= 1
