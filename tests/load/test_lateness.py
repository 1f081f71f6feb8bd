"""Which waits of a greenlet are the generator's own."""

from __future__ import annotations

import pytest

from harness.load import lateness


@pytest.mark.parametrize(("poll_us", "waited"), [(499, False), (501, True)])
def test_a_poll_that_took_long_waited_for_its_events_and_a_short_one_found_them(
    monkeypatch: pytest.MonkeyPatch,
    poll_us: int,
    waited: bool,  # noqa: FBT001 - of the table
) -> None:
    """Events that a short poll found may have been there since the poll before."""
    now = [1_000_000_000]
    monkeypatch.setattr("harness.load.lateness.time.monotonic_ns", lambda: now[0])
    loop = lateness._Loop()
    loop.back()
    before = now[0]
    now[0] += 7_000_000
    loop.poll()
    now[0] += poll_us * 1000
    loop.back()
    assert loop.since_ns == (now[0] if waited else before)
