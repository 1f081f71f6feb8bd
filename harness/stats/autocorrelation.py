"""How long a per-second series remembers, and what that does to the variance of its mean."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft, special

from harness.stats.interval import Floats, t_quantile

PHIS = (0.0, 0.2, 0.4, 0.55, 0.65, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99)
NOISE_SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99)
"""The models weighed: an AR(1) level (its lag-1 correlation) under white noise (its share)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of a series' memory.

    `time` is the integrated autocorrelation time in steps (1: none): the variance of the mean of
    n values is time x (marginal variance) / n. `inflation` is by how much batch means of the asked
    number understate that variance because batches remember each other.
    """

    time: float
    inflation: float


@dataclass(frozen=True, slots=True)
class _Models:
    """Per model: spectrum (models, n - 1), its log sum, relative variance of the mean."""

    phi: Floats
    noise: Floats
    spectrum: Floats
    log_sum: Floats
    mean_variance: Floats


def memory(series: Floats, batches: int = 5) -> Memory:
    """The memory of a series, shape (n,), n >= 2, averaged over models by their likelihood.

    Each model is an AR(1) process under white noise; its likelihood is Whittle's on the cosine
    transform, which leaves out the mean (a restricted likelihood, so that short series are not
    taken for less correlated than they are: Harville 1977). The scale is profiled out.
    """
    n = len(series)
    found = _weighed(series)
    if found is None:
        return Memory(1.0, 1.0)
    models, _, weight = found
    within = _mean_variance(models.phi, models.noise, max(n // batches, 1))
    naive = np.maximum(within - models.mean_variance, 1e-12) / (batches - 1)
    return Memory(
        time=float(weight @ (n * models.mean_variance)),
        inflation=float(weight @ np.maximum(models.mean_variance / naive, 1.0)),
    )


def mean_half_width(series: Floats, confidence: float) -> float:
    """The half width of the interval of the series' mean, averaged over the models.

    Each model says Student's t with (n / its autocorrelation time - 1) degrees of freedom about its
    own standard error; the models are mixed by their likelihood. 0 for a constant series.
    """
    found = _weighed(series)
    if found is None:
        return 0.0
    models, squares, weight = found
    n = len(series)
    errors = np.sqrt(squares / (n - 1) * models.mean_variance)
    freedom = np.maximum(1 / models.mean_variance - 1, 1.0)
    low, high = 0.0, float(errors.max()) * t_quantile(1 - (1 - confidence) / 2, 1.0)
    for _ in range(40):
        half = (low + high) / 2
        beyond = 2 * float(weight @ special.stdtr(freedom, -half / errors))
        low, high = (half, high) if beyond > 1 - confidence else (low, half)
    return high


def _weighed(series: Floats) -> tuple[_Models, Floats, Floats] | None:
    """The models, their residual squares and weights; None for a constant series."""
    n = len(series)
    models = _models(n)
    power = fft.dct(series - series[0], norm="ortho")[1:] ** 2
    if not np.any(power > 0):
        return None
    squares = np.maximum((power / models.spectrum).sum(axis=1), 1e-300)
    likelihood = -0.5 * models.log_sum - (n - 1) / 2 * np.log(squares)
    weight = np.exp(likelihood - likelihood.max())
    return models, squares, weight / weight.sum()


@lru_cache(maxsize=32)
def _models(n: int) -> _Models:
    pairs = [(p, s) for p in PHIS for s in NOISE_SHARES if p > 0 or s == 0]
    phi, noise = np.array(pairs).T
    angle = np.pi * np.arange(1, n) / n
    level = (1 - phi[:, None] ** 2) / (1 - 2 * phi[:, None] * np.cos(angle) + phi[:, None] ** 2)
    spectrum = (1 - noise)[:, None] * level + noise[:, None]
    log_sum: Floats = np.log(spectrum).sum(axis=1)
    return _Models(phi, noise, spectrum, log_sum, _mean_variance(phi, noise, n))


def _mean_variance(phi: Floats, noise: Floats, n: int) -> Floats:
    """Variance of the mean of n values of unit variance, per model; exact for AR(1)."""
    level = (1 + phi) / (1 - phi) - 2 * phi * (1 - phi**n) / (n * (1 - phi) ** 2)
    result: Floats = ((1 - noise) * level + noise) / n
    return result
