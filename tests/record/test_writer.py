"""The record on disk: written in stages, whole or marked, without secrets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Interrupted, RecordError
from harness.record import RunRecord, RunWriter, list_runs
from harness.record.environment import capture_environment
from harness.redact import REDACTED, redact
from harness.storage import write_atomic
from tests.record.synthetic import START_NS, Made, messages, plan, record, service


def _writer(root: Path) -> RunWriter:
    return RunWriter.create(root, service(), plan(), {"host": "h"}, command=("harness", "perf"))


def test_a_finished_run_reads_back_as_it_was_planned(tmp_path: Path) -> None:
    made = Made()
    found = record(tmp_path, made)
    assert found.directory.parent == tmp_path / "memorai"
    assert found.status == "complete"
    assert found.start_wall_ns == START_NS
    assert found.plan.profile == made.plan.profile
    assert found.conserved is True
    assert found.totals is not None
    assert found.totals["offered"] == found.series("due").offered.sum()
    assert found.environment["cores"] == 4
    assert not found.truncated


def test_run_ids_sort_by_the_time_of_their_creation(tmp_path: Path) -> None:
    with _writer(tmp_path) as writer:
        assert len(writer.run_id) == len("20261124T015500Z-3f2a")
        assert writer.run_id[8] == "T"
        assert writer.run_id[15:17] == "Z-"


def test_no_secret_reaches_the_disk(tmp_path: Path) -> None:
    with _writer(tmp_path) as writer:
        writer.event("note", url="https://admin:hunter2@db/x?token=hunter2", password="hunter2")
        writer.finish("complete")
    for path in writer.directory.iterdir():
        assert "hunter2" not in path.read_text(), path.name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([("Authorization", "Bearer abcdef")], [["Authorization", REDACTED]]),
        ([("X-API-Key", "k")], [["X-API-Key", REDACTED]]),
        ([("cookie", "a=b")], [["cookie", REDACTED]]),
        ([("accept", "text/html")], [["accept", "text/html"]]),
        ([("authorization", "{token}")], [["authorization", "{token}"]]),
        ("curl -H 'x: Bearer abcdef123'", f"curl -H 'x: Bearer {REDACTED}'"),
        ("http://u:p@h/", f"http://{REDACTED}@h/"),
        ("http://h/?a=1&access_token=x#f", f"http://h/?a=1&access_token={REDACTED}#f"),
        ('{"secret": "a\\"b", "n": "1"}', f'{{"secret": "{REDACTED}", "n": "1"}}'),
        ({"api_key": {"kind": "choice", "values": ["x"]}},
         {"api_key": {"kind": "choice", "values": [REDACTED]}}),
        ({"urls": ["http://token-service", "http://b"]},
         {"urls": ["http://token-service", "http://b"]}),
        ({"timeout_s": 3, "none": None}, {"timeout_s": 3, "none": None}),
    ],
)  # fmt: skip
def test_redaction_hides_values_and_keeps_structure(given: Any, kept: Any) -> None:
    assert redact(given) == kept


def test_a_killed_writer_leaves_a_partial_record_that_can_be_read(tmp_path: Path) -> None:
    script = f"""
import os, pathlib, signal, sys
from tests.record.synthetic import Made, messages, plan, service
from harness.record import RunWriter
writer = RunWriter.create(pathlib.Path({str(tmp_path)!r}), service(), plan(), {{}})
for message in messages(Made(stop_at=12)):
    writer.message(message)
writer._flush(now=True)
writer._slices.write('{{"schema":1,"axis":"du')
writer._slices.flush()
print(writer.directory, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    ) as child:  # fmt: skip
        assert child.stdout is not None
        directory = Path(child.stdout.readline().strip())
        assert RunRecord.load(directory).status == "running"
        os.kill(child.pid, signal.SIGKILL)
    found = RunRecord.load(directory)
    assert found.status == "partial"
    assert [run.status for run in list_runs(tmp_path)] == ["partial"]
    assert found.truncated
    assert found.seconds == 12
    assert found.series("due").offered.sum() > 0


@pytest.mark.parametrize(
    ("error", "state"), [(Interrupted(), "interrupted"), (RuntimeError("boom"), "failed")]
)
def test_leaving_early_records_how_the_run_ended(
    tmp_path: Path, error: Exception, state: str
) -> None:
    with pytest.raises(type(error)), _writer(tmp_path) as writer:
        raise error
    found = RunRecord.load(writer.directory)
    assert found.status == state
    assert found.meta["problem"] == (None if state == "interrupted" else "boom")


def test_an_unwritable_results_directory_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    blocker = tmp_path / "results"
    blocker.write_text("a file")
    with pytest.raises(RecordError, match=r"results.*cannot write.*") as caught:
        _writer(blocker)
    assert caught.value.remedy is not None
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_with_a_remedy() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    from harness.storage import writing  # noqa: PLC0415

    told = pytest.raises(RecordError, match=r"No space left.*free some space")
    with told, writing(Path("r")), full.open("w") as stream:
        stream.write("x")


def test_an_atomic_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_event_has_a_time_and_an_instant(tmp_path: Path) -> None:
    with _writer(tmp_path) as writer:
        writer.message({"type": "start", "wall_ns": 1, "monotonic_ns": 0})
        writer.event("novelty", x=1)
        found = writer.finish("complete")
    (event,) = found.events_of("novelty")
    assert event["x"] == 1
    assert event["t"] > 0
    assert event["wall_ns"] > 0


def test_an_event_seen_before_the_start_is_known_has_a_time_below_zero(tmp_path: Path) -> None:
    with _writer(tmp_path) as writer:
        writer.seen("platform_event", 2_000_000_000, {"wall_ns": 7})
        writer.message({"type": "start", "wall_ns": 1, "monotonic_ns": 3_500_000_000})
        writer.seen("platform_event", 4_000_000_000, {})
        found = writer.finish("complete")
    early, late = found.events_of("platform_event")
    assert (early["t"], early["wall_ns"], late["t"]) == (-1.5, 7, 0.5)


def test_an_event_of_a_run_that_never_starts_is_kept_without_a_time(tmp_path: Path) -> None:
    with _writer(tmp_path) as writer:
        writer.seen("platform_event", 2_000_000_000, {})
        found = writer.finish("failed")
    assert [event["t"] for event in found.events_of("platform_event")] == [None]


def test_phases_are_marked_in_the_events(tmp_path: Path) -> None:
    found = record(tmp_path)
    assert [event["phase"] for event in found.events_of("phase")] == [
        "warmup", "ramp", "hold", "cooldown",
    ]  # fmt: skip


def test_the_environment_names_the_machine_and_what_is_unknown_is_none(tmp_path: Path) -> None:
    found = capture_environment(tmp_path)
    assert found["commit"] is None
    assert found["cores"] >= 1
    assert found["memory_bytes"] > 0
    assert found["packages"]["numpy"]
    json.dumps(found)


def test_every_message_of_a_run_is_stored(tmp_path: Path) -> None:
    made = Made(stop_at=3)
    found = record(tmp_path, made)
    slices = [message for message in messages(made) if message["type"] == "slice"]
    assert len(found.slices) == len(slices)
    assert len(found.events_of("tick")) == 3
    assert all("clock_ns" in event for event in found.events_of("tick"))
