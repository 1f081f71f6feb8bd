"""The set-full rule: what counts as lost, stale, never read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError
from harness.events import Read as ReadEvent
from harness.judge.lost_writes import Read, Write, lost_writes, reads_of, trace, writes_of
from harness.messages import Write as WriteEvent

ACKED = Write("a", 1.0, 2.0, acknowledged=True)
UNSURE = Write("a", 1.0, None, acknowledged=False)


def saw(begin: float, end: float | None = None, **more: object) -> Read:
    return Read("a", begin, begin + 0.1 if end is None else end, seen=True, **more)  # type: ignore[arg-type]


def missed(begin: float, end: float | None = None) -> Read:
    return Read("a", begin, begin + 0.1 if end is None else end, seen=False, where="eu-west-1")


def fate(write: Write, *reads: Read) -> str:
    return trace([write], reads)[0].fate


def test_an_acknowledged_write_that_is_seen_last_is_stable() -> None:
    assert fate(ACKED, saw(5)) == "stable"


def test_an_acknowledged_write_that_no_read_finds_is_lost() -> None:
    assert fate(ACKED, missed(5)) == "lost"


def test_a_write_that_was_seen_and_then_missed_is_lost() -> None:
    assert fate(ACKED, saw(5), missed(6)) == "lost"


def test_a_write_that_was_missed_and_then_seen_was_stale() -> None:
    (found,) = trace([ACKED], [missed(5), saw(6)])
    assert found.fate == "stable"
    assert found.stale_s == pytest.approx(3.0)


def test_a_read_that_began_before_the_acknowledgement_may_miss_it() -> None:
    assert fate(ACKED, missed(1.5, 2.5)) == "never-read"


def test_a_read_that_began_with_the_acknowledgement_may_miss_it_and_a_later_one_not() -> None:
    assert fate(ACKED, missed(2.0)) == "never-read"
    assert fate(ACKED, missed(2.001)) == "lost"


def test_an_unacknowledged_write_need_not_survive() -> None:
    assert fate(UNSURE, missed(5)) == "never-read"
    assert lost_writes([UNSURE], [missed(5)], 4.0).lost == ()


def test_an_unacknowledged_write_that_was_seen_once_must_stay() -> None:
    assert fate(UNSURE, saw(5), missed(6)) == "lost"


def test_an_unacknowledged_write_that_stays_is_recovered() -> None:
    assert lost_writes([UNSURE], [saw(5)], 4.0).recovered == 1


def test_a_failed_read_says_nothing() -> None:
    unknown = Read("a", 9, 9.1, None)
    assert fate(ACKED, saw(5), unknown) == "stable"
    assert fate(ACKED, unknown) == "never-read"


def test_a_read_seen_twice_is_duplicated_and_a_wrong_value_corrupt() -> None:
    found = lost_writes([ACKED], [saw(5, copies=2, value_ok=False)], 4.0)
    assert (found.duplicated, found.corrupt) == (1, 1)


def test_the_recovery_point_is_the_age_of_the_oldest_lost_write() -> None:
    writes = [Write(str(n), n, n + 0.5, acknowledged=True) for n in range(10)]
    reads = [Read(str(n), 20, 21, n < 7) for n in range(10)]
    found = lost_writes(writes, reads, 10.0)
    assert found.lost == ("7", "8", "9")
    assert found.rpo_s == pytest.approx(2.5)
    assert found.examples[0].id == "7"


def test_nothing_lost_is_a_recovery_point_of_zero_and_no_fault_time_is_unknown() -> None:
    assert lost_writes([ACKED], [saw(5)], 4.0).rpo_s == 0
    assert lost_writes([ACKED], [saw(5)], None).rpo_s is None


def test_an_id_written_twice_is_refused() -> None:
    with pytest.raises(DataError, match="twice"):
        trace([ACKED, ACKED], [])


def test_events_of_a_record_become_writes_and_reads() -> None:
    write: WriteEvent = {"type": "write", "id": "x", "endpoint": "add", "due_s": 1.0,
                         "sent_s": 1.1, "done_s": 1.2, "status": 201, "error": None}  # fmt: skip
    refused: WriteEvent = {**write, "id": "y", "status": 503, "error": "status_5xx"}
    read: ReadEvent = {"type": "read", "id": "x", "stage": "after", "begin_s": 5.0, "end_s": 5.1,
                       "seen": True, "where": "g"}  # fmt: skip
    unread: ReadEvent = {"type": "read", "id": "x", "stage": "after", "seen": None, "where": "g"}
    assert [each.acknowledged for each in writes_of([write, refused])] == [True, False]
    assert [each.seen for each in reads_of([read, unread])] == [True]


MOMENTS = st.floats(0, 100, allow_nan=False)
READS = st.lists(
    st.builds(
        lambda begin, took, seen: Read("a", begin, begin + took, seen),
        MOMENTS, st.floats(0, 5), st.sampled_from([True, False, None]),
    )
)  # fmt: skip
WRITES = st.builds(
    lambda sent, took, acked: Write("a", sent, sent + took, acked),
    MOMENTS, st.floats(0, 5), st.booleans(),
)  # fmt: skip


@given(WRITES, READS)
def test_a_lost_write_was_known_and_no_later_read_saw_it(write: Write, reads: list[Read]) -> None:
    (found,) = trace([write], reads)
    if found.fate == "lost":
        assert found.known_s is not None
        last_miss = max(read.begin_s for read in reads if read.seen is False)
        assert last_miss > found.known_s
        assert all(read.begin_s < last_miss for read in reads if read.seen)


@given(WRITES, READS)
def test_a_last_read_that_sees_it_makes_any_write_stable(write: Write, reads: list[Read]) -> None:
    assert fate(write, *reads, saw(1000)) == "stable"


@given(WRITES, READS)
def test_a_last_read_that_misses_it_loses_every_known_write(
    write: Write, reads: list[Read]
) -> None:
    known = write.acknowledged or any(read.seen for read in reads)
    assert fate(write, *reads, missed(1000)) == ("lost" if known else "never-read")


@given(WRITES, READS, st.randoms())
def test_the_order_in_which_reads_are_told_does_not_matter(
    write: Write, reads: list[Read], random: object
) -> None:
    shuffled = list(reads)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert trace([write], reads)[0].fate == trace([write], shuffled)[0].fate


@given(st.lists(st.tuples(st.booleans(), READS), max_size=8))
def test_every_write_has_exactly_one_fate(parts: list[tuple[bool, list[Read]]]) -> None:
    writes, reads = [], []
    for number, (acked, found) in enumerate(parts):
        writes.append(Write(str(number), 1, 2, acked))
        reads += [Read(str(number), r.begin_s, r.end_s, r.seen) for r in found]
    whole = lost_writes(writes, reads, 50.0)
    fates = [each.fate for each in trace(writes, reads) if each.acknowledged]
    assert whole.acknowledged == fates.count("stable") + fates.count("lost") + whole.never_read
    assert whole.attempted == whole.acknowledged + whole.indeterminate
