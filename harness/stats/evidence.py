"""How much likelier a short series is with a step than without, whatever its points remember."""

import math

import numpy as np
from numpy.typing import NDArray

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
    before = np.vstack([np.zeros_like(whole[:1]), whole[:-1]])
    rhos = np.array(RHOS)[:, None]
    white: Matrix = whole - rhos[..., None] * before  # shape (rhos, n, columns)
    white[:, 0] = np.sqrt(1 - rhos**2) * whole[0]
    base, scale = np.linalg.qr(white[:, :, :p])
    rest = white[:, :, p:] - base @ (base.transpose(0, 2, 1) @ white[:, :, p:])
    steps, left = rest[:, :, :-1], rest[:, :, -1:]
    squares = (left * left).sum(axis=1)
    if squares.min() <= n * (ROUNDING * float(np.abs(y).max())) ** 2:
        return -math.inf  # nothing is left to explain
    explained = (left * steps).sum(axis=1) ** 2 / (steps**2).sum(axis=1) / squares
    none = np.log(1 - rhos**2) / 2 - free / 2 * np.log(squares)
    none -= np.log(np.abs(np.diagonal(scale, axis1=1, axis2=2))).sum(axis=1, keepdims=True)
    unexplained = np.maximum(1 - explained, 0.0)
    gain = (free - 1) * math.log1p(n) - free * np.log1p(n * unexplained)
    return _log_sum(none + gain / 2) - math.log(len(places)) - _log_sum(none)


def _log_sum(logs: Matrix) -> float:
    """The logarithm of the sum of what these are the logarithms of."""
    most = float(logs.max())
    return most + math.log(float(np.exp(logs - most).sum()))
