"""A latency distribution as numbers: the buckets of HDR histograms, merged and questioned."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from harness._engine import Histogram
from harness.errors import RecordError
from harness.units import NANOSECONDS

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """`values` f64[m] in seconds, ascending, each seen `counts` i64[m] times; m may be 0."""

    values: Floats
    counts: Counts

    @classmethod
    def of(cls, histogram: Histogram) -> Self:
        """The buckets of a histogram of nanoseconds."""
        values, counts = histogram.buckets()
        return cls(np.divide(values, NANOSECONDS, dtype=np.float64), np.asarray(counts, np.int64))

    @classmethod
    def decode(cls, text: str) -> Self:
        """The buckets of a base64 HdrHistogram V2 in nanoseconds; raises RecordError."""
        return cls.of(merge([text]))

    @classmethod
    def merge(cls, parts: Iterable[Distribution | None]) -> Self:
        """All parts together, exactly; None and nothing at all give the empty distribution."""
        present = [part for part in parts if part is not None]
        if len(present) == 1:
            return cls(present[0].values, present[0].counts)
        if not present:
            return cls(np.empty(0, np.float64), np.empty(0, np.int64))
        values, place = np.unique(
            np.concatenate([part.values for part in present]), return_inverse=True
        )
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, place, np.concatenate([part.counts for part in present]))
        return cls(values, counts)

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float | None:
        """Seconds; None of nothing."""
        return float(self.values @ self.counts) / self.count if self.count else None

    @property
    def maximum(self) -> float | None:
        """Seconds; None of nothing."""
        return float(self.values[-1]) if self.count else None

    def above(self, limit: float) -> int:
        """How many values exceed `limit` seconds, to the width of a bucket."""
        return int(self.counts[np.searchsorted(self.values, limit, side="right") :].sum())

    def quantile(self, q: float) -> float | None:
        """The smallest value that at least a share `q` does not exceed, in seconds.

        The definition of HdrHistogram's value at a percentile; None of nothing.
        """
        if not self.count:
            return None
        rank = max(1, math.ceil(q * self.count - 1e-9))
        return float(self.values[np.searchsorted(np.cumsum(self.counts), rank)])


def merge(texts: Iterable[str]) -> Histogram:
    """Stored histograms (HdrHistogram V2, base64) added up; raises RecordError for another text."""
    whole = Histogram()
    for text in texts:
        try:
            whole.add(Histogram.decode(text))
        except (ValueError, TypeError) as error:
            raise RecordError(
                f"a slice holds an unreadable histogram: {error}", "the record is damaged"
            ) from None
    return whole


def stack(parts: list[Distribution | None]) -> tuple[Floats, Counts]:
    """(values f64[m] seconds, counts i64[n, m]) of n distributions on their common buckets."""
    values = Distribution.merge(parts).values
    counts = np.zeros((len(parts), len(values)), np.int64)
    for row, part in enumerate(parts):
        if part is not None:
            counts[row, np.searchsorted(values, part.values)] = part.counts
    return values, counts
