"""How often something happens, found in no more cases than it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable

FALSE_ALARM = 0.001


def exceeds(cases: Iterable[bool], usual: float, excess: float, miss: float = 0.05) -> bool:
    """Whether it happens in a share of `excess` of the cases, not of `usual`: Wald 1945.

    The sequential probability ratio test says so of `usual` once in 1000, and does not say so of
    `excess` in a share of `miss`. It takes a third of the cases of a test of fixed size.
    """
    known = 0.0
    for case in cases:
        known += math.log(excess / usual if case else (1 - excess) / (1 - usual))
        if known <= math.log(miss / (1 - FALSE_ALARM)):
            return False
        if known >= math.log((1 - miss) / FALSE_ALARM):
            return True
    raise AssertionError("undecided; give more cases")
