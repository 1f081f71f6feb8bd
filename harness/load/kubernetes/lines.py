"""From a log that may be cut, repeated or mixed to the numbered messages in it."""

from collections import deque
from dataclasses import dataclass, field

from harness.errors import HarnessError
from harness.messages import LoadMessage, load_message

TAIL_LINES = 12
_MOST_BUFFERED = 1 << 24


@dataclass(slots=True)
class Lines:
    """Takes the bytes of a container's log; gives each numbered message once, in order.

    The load child in a container numbers its lines (`line`); everything else in the log is what
    Locust and the scenario said, of which the last lines are kept in `said`. After a reconnection
    the log may begin with lines that were had before, or in the middle of one: `restart` says so.
    `missing` counts the numbers that were passed over; the record's own sequence numbers then
    tell what of the load is unknown.
    """

    next_line: int = 0
    missing: int = 0
    said: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    _rest: bytes = b""

    def restart(self) -> None:
        """The next bytes come from a new connection."""
        self._rest = b""

    def has_gap(self, chunk: bytes) -> bool:
        """Whether the first numbered line of a fresh connection's chunk lies beyond the next."""
        for line in chunk.split(b"\n"):
            found = _numbered(line)
            if found is not None:
                return found[0] > self.next_line
        return False

    def feed(self, chunk: bytes) -> list[LoadMessage]:
        """The new messages that these bytes complete."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[-_MOST_BUFFERED:]
        found = []
        for line in whole:
            numbered = _numbered(line)
            if numbered is None:
                self._keep(line)
                continue
            number, message = numbered
            if number < self.next_line:
                continue
            self.missing += number - self.next_line
            self.next_line = number + 1
            found.append(message)
        return found

    def _keep(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if text and not text.startswith("{") and text not in self.said:
            self.said.append(text)


def _numbered(line: bytes) -> tuple[int, LoadMessage] | None:
    """The number and the message of a line; None for any other, which then shows as missing."""
    before, _, rest = line.partition(b",")
    number = before.removeprefix(b'{"line":')
    if number == before or not number.isdigit():
        return None
    try:
        return int(number), load_message(b"{" + rest)
    except HarnessError:
        return None
