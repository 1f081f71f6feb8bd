"""Putting the shards' reports together: gaps are stated, never smoothed over."""

from __future__ import annotations

from typing import Any

from harness.load.assembly import Assembly


def _slice(worker: int, seq: int, second: int) -> Any:
    piece = {"axis": "due", "second": second, "endpoint": "a"}
    return {"type": "slice", "worker": worker, "seq": seq, "slice": piece}


def _done(worker: int, slices: int, offered: int = 10) -> Any:
    totals = {"offered": offered, "completed": offered, "failed": 0, "unfinished": 0, "clipped": 0}
    return {
        "type": "done",
        "worker": worker,
        "slices": slices,
        "totals": totals,
        "conserved": True,
        "error": None,
    }


def test_complete_shards_are_summed_and_conserved() -> None:
    heard: list[Any] = []
    assembly = Assembly(2, heard.append)
    for worker in (0, 1):
        assembly.add(_slice(worker, 0, 0))
        assert not assembly.complete
        assembly.add(_done(worker, 1))
    assert assembly.complete
    end = assembly.end()
    assert end["conserved"] is True
    assert end["totals"]["offered"] == 20
    assert [message["type"] for message in heard] == ["slice", "slice"]


def test_a_gap_in_the_sequence_is_a_lost_worker_from_that_second() -> None:
    heard: list[Any] = []
    assembly = Assembly(1, heard.append)
    assembly.add(_slice(0, 0, 0))
    assembly.add(_slice(0, 2, 2))
    assembly.add(_done(0, 3))
    lost = [message for message in heard if message["type"] == "worker_lost"]
    assert [(one["last_seq"], one["from_second"]) for one in lost] == [(0, 1)]
    assert assembly.end()["conserved"] is False


def test_totals_that_count_more_slices_than_came_are_a_loss() -> None:
    heard: list[Any] = []
    assembly = Assembly(1, heard.append)
    assembly.add(_slice(0, 0, 0))
    assembly.add(_done(0, 2))
    assert heard[-1]["reason"] == "its last reports are missing"


def test_a_worker_that_has_given_everything_cannot_be_lost() -> None:
    heard: list[Any] = []
    assembly = Assembly(1, heard.append)
    assembly.add(_done(0, 0))
    assembly.lose(0, "its process ended")
    assert heard == []
    assert assembly.end()["unknown"] == []


def test_totals_that_do_not_add_up_are_not_conserved() -> None:
    assembly = Assembly(1, lambda message: None)
    message = _done(0, 0)
    message["totals"]["completed"] = 9
    assembly.add(message)
    assert assembly.end()["conserved"] is False


def test_ticks_of_all_workers_are_one_tick() -> None:
    heard: list[Any] = []
    assembly = Assembly(2, heard.append)
    for worker, cpu in ((0, 0.5), (1, 0.7)):
        counts: Any = dict.fromkeys(("completed", "failed", "unfinished", "in_flight"), 0)
        said = {"cpu": cpu, "cpu_process": cpu, "lag_p99_ns": worker, "offered": 100}
        tick: Any = {"type": "tick", "worker": worker, **counts, **said}
        assembly.add(tick)
    (merged,) = heard
    assert merged["offered"] == 200
    assert merged["cpu"] == 0.7
    assert merged["lag_p99_ns"] == 1
