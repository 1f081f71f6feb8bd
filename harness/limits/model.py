"""What is asked of a rate limit, what came back, and what that shows."""

from dataclasses import dataclass

from harness.catalog.model import RateLimit
from harness.judge.checked import Checked

BURSTS = 3
"""Keys whose limit is counted: a burst across the end of a window admits more, never fewer, so
the least of three is the limit unless all three met such an end."""

EXTRA = 10
"""Requests of a burst beyond the limit."""

OTHERS = 5
"""Keys that stay within their limit while another is beyond its own."""

KEYS = BURSTS + OTHERS + 1
"""Keys that a measurement uses."""

OVERLOAD = 2.0
"""Times the limit at which the goodput is measured, for one window."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: seconds from the start of its part; `status` None: `error` says why."""

    at_s: float
    status: int | None
    retry_after: str | None = None
    error: str | None = None

    @property
    def admitted(self) -> bool:
        """Whether the request was carried out."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - success


@dataclass(frozen=True, slots=True)
class Asked:
    """What the client is to do: `keys` are KEYS values of the limit's header."""

    url: str
    path: str
    limit: RateLimit
    keys: tuple[str, ...]
    host: str | None = None
    ca_file: str | None = None
    verify: bool = True
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """The answers, in order.

    Of each burst, of one key at OVERLOAD times its limit for `span_s`, of the other keys beside it,
    and of the overloaded key: its last refusal, and its first request once it may ask again.
    """

    bursts: tuple[tuple[Answer, ...], ...]
    overload: tuple[Answer, ...]
    others: tuple[Answer, ...]
    recovery: tuple[Answer, ...]
    span_s: float


@dataclass(frozen=True, slots=True)
class LimitVerdict(Checked):
    """Every check of a limit."""

    limit: RateLimit
