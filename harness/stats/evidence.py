"""How much likelier a short series is with a step than without, whatever its points remember."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.stats.interval import Floats
from harness.stats.segmentation import ROUNDING, Indices

Matrix = NDArray[np.float64]

RHOS = (0.0, 0.2, 0.4, 0.6, 0.8)
"""The memories of neighbours that are tried."""


def evidence(y: Floats, others: Indices, span: tuple[int, int], least: int) -> float:
    """The logarithm of a Bayes factor: a step somewhere within `span` against none there.

    Both sides have the `others`, levels of unknown size, and AR(1) noise of unknown variance whose
    correlation is any of RHOS: a dozen points tell too little of it to believe one. The step may be
    at any place `least` points from either end; its size has a unit-information prior, which makes
    the factor a function of what it explains (Zellner's g = n; Liang et al. 2008, eq. 6).
    """
    n, p = len(y), 1 + len(others)
    at = np.arange(n)
    places = np.arange(span[0] + least, span[1] - least + 1)
    levels = np.column_stack([np.ones(n), *(at >= step for step in others)])
    whole: Matrix = np.column_stack([levels, at[:, None] >= places, y])
    free = n - p
    none, some = [], []
    for rho in RHOS:
        white: Matrix = whole - rho * np.vstack([np.zeros_like(whole[:1]), whole[:-1]])
        white[0] = math.sqrt(1 - rho * rho) * whole[0]
        base, scale = np.linalg.qr(white[:, :p])
        rest = white[:, p:] - base @ (base.T @ white[:, p:])
        steps, left = rest[:, :-1], rest[:, -1]
        squares = float(left @ left)
        if squares <= n * (ROUNDING * float(np.abs(y).max())) ** 2:
            return -math.inf  # nothing is left to explain
        explained = (left @ steps) ** 2 / (steps**2).sum(axis=0) / squares
        likely = math.log(1 - rho * rho) / 2 - free / 2 * math.log(squares)
        likely -= float(np.log(np.abs(np.diag(scale))).sum())
        none.append(likely)
        unexplained = np.maximum(1 - explained, 0.0)
        gain = (free - 1) * math.log1p(n) - free * np.log1p(n * unexplained)
        some.append(likely + gain / 2)
    total = special.logsumexp(some) - math.log(len(places))
    return float(total - special.logsumexp(none))
