"""Reading a record: arrays by second, phases, histograms; damage is named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram  # an independent reader of the same format

from harness.errors import HarnessError, RecordError
from harness.record import RunRecord, find_run, list_runs
from harness.record.distribution import Distribution, stack
from tests.record.synthetic import Made, histogram, plan, record


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return record(
        tmp_path_factory.mktemp("results"),
        Made(failures=lambda second, endpoint, offered: {"timeout": 2} if second == 9 else {}),
    )


def test_the_hold_is_made_of_whole_seconds(found: RunRecord) -> None:
    assert found.seconds_of("hold").tolist() == list(range(7, 27))
    assert found.planned_seconds("hold") == 20
    assert len(found.seconds_of(None)) == found.seconds


def test_a_second_across_two_phases_belongs_to_neither(tmp_path: Path) -> None:
    segments = plan().profile.segments
    shifted = (segments[0], segments[1], *segments[2:])
    half = plan(segments=(type(segments[0])("warmup", 2.5, 50, 50), *shifted[2:]))
    assert record(tmp_path, Made(half)).seconds_of("hold")[0] == 3


def test_counts_add_up_over_endpoints_and_errors_are_kept_by_kind(found: RunRecord) -> None:
    whole = found.series("due")
    parts = [found.series("due", name) for name in found.endpoints]
    assert (whole.offered == sum(part.offered for part in parts)).all()
    assert whole.errors["timeout"][9] == 4
    assert whole.lost.sum() == 4


def test_latencies_agree_with_another_reader_of_the_format(found: RunRecord) -> None:
    other = HdrHistogram(100, 3_600_000_000_000, 3)
    for row in found.slices:
        if row["axis"] == "due" and 7 <= row["second"] < 27:
            other.add(HdrHistogram.decode(row["hist"]["response"].encode()))
    count = other.get_total_count()
    for q in (0.5, 0.95, 0.99, 0.999):
        theirs = other.get_value_at_percentile(100 * math.ceil(q * count) / count) / 1e9
        assert found.distribution("response").quantile(q) == pytest.approx(theirs, rel=2e-3)
    assert found.distribution("response").count == count


def test_the_matrix_has_a_row_for_each_second_of_the_hold(found: RunRecord) -> None:
    values, counts = stack([found.distributions()[second] for second in found.seconds_of()])
    assert counts.shape == (20, len(values))
    assert (np.diff(values) > 0).all()
    assert counts.sum() == found.distribution("response").count
    assert counts[2].sum() == found.series("due").completed[9]


def test_a_merged_histogram_can_be_stored_again(found: RunRecord) -> None:
    again = Distribution.decode(found.histogram("response").encode())
    assert again.count == found.distribution("response").count


def test_a_second_without_answers_has_no_latency(found: RunRecord) -> None:
    assert np.isnan(found.quantile_series(0.95, "wait")).all()
    assert found.distribution("wait").quantile(0.95) is None


def test_quantiles_of_a_distribution_follow_their_definition() -> None:
    part = Distribution(np.array([1.0, 2.0, 3.0]), np.array([1, 8, 1]))
    assert [part.quantile(q) for q in (0, 0.1, 0.11, 0.9, 0.91, 1)] == [1, 1, 2, 2, 3, 3]
    assert part.mean == 2
    assert part.maximum == 3
    assert Distribution.merge([]).quantile(0.5) is None


def test_merging_is_exact() -> None:
    one = Distribution(np.array([1.0, 2.0]), np.array([1, 2]))
    two = Distribution(np.array([2.0, 4.0]), np.array([3, 4]))
    both = Distribution.merge([one, None, two])
    assert both.values.tolist() == [1, 2, 4]
    assert both.counts.tolist() == [1, 5, 4]


def _copy(found: RunRecord, into: Path) -> Path:
    directory = into / "memorai" / found.id
    directory.mkdir(parents=True)
    for path in found.directory.iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
    return directory


def test_a_newer_schema_is_refused_in_one_line(found: RunRecord, tmp_path: Path) -> None:
    directory = _copy(found, tmp_path)
    meta = json.loads((directory / "run.json").read_text()) | {"schema": 99}
    (directory / "run.json").write_text(json.dumps(meta))
    with pytest.raises(RecordError, match=r"run\.json.*schema 99.*update the harness"):
        RunRecord.load(directory)


def test_a_newer_slice_is_refused_too(found: RunRecord, tmp_path: Path) -> None:
    directory = _copy(found, tmp_path)
    (directory / "slices.jsonl").write_text('{"schema": 2}\n')
    with pytest.raises(RecordError, match=r"slices\.jsonl.*schema 2"):
        _ = RunRecord.load(directory).seconds


def test_damage_in_the_middle_names_file_and_line(found: RunRecord, tmp_path: Path) -> None:
    directory = _copy(found, tmp_path)
    lines = (directory / "slices.jsonl").read_text().splitlines(keepends=True)
    lines[4] = lines[4][:40] + "\n"
    (directory / "slices.jsonl").write_text("".join(lines))
    with pytest.raises(RecordError, match=r"slices\.jsonl:5: not a JSON object"):
        _ = RunRecord.load(directory).seconds


def test_a_record_without_its_slices_is_damaged(found: RunRecord, tmp_path: Path) -> None:
    """It would be judged as a run that measured nothing."""
    copy = _copy(found, tmp_path)
    (copy / "slices.jsonl").unlink()
    with pytest.raises(RecordError, match=r"no slices\.jsonl"):
        _ = RunRecord.load(copy).slices


def test_a_truncated_last_line_is_dropped_and_told(found: RunRecord, tmp_path: Path) -> None:
    directory = _copy(found, tmp_path)
    content = (directory / "slices.jsonl").read_bytes()
    (directory / "slices.jsonl").write_bytes(content[:-30])
    copy = RunRecord.load(directory)
    assert copy.truncated
    assert len(copy.slices) == len(found.slices) - 1


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "null", '{"schema": 1}', '{"schema": "1"}', '{"schema": true}', "\x00" * 9,
     '{"schema": 1, "state": "complete", "plan": {"target": 3}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_run_file_is_one_line(found: RunRecord, tmp_path: Path, content: str) -> None:
    directory = _copy(found, tmp_path)
    (directory / "run.json").write_text(content)
    with pytest.raises(RecordError) as caught:
        RunRecord.load(directory)
    assert "\n" not in str(caught.value)
    assert list_runs(tmp_path)[0].status in {"unreadable", "complete", "None"}


@pytest.mark.parametrize(
    "row",
    ['{"schema": 1, "axis": "due", "endpoint": "a", "second": -1}',
     '{"schema": 1, "axis": "due", "endpoint": "a", "second": 1e300}',
     '{"schema": 1, "axis": "due", "endpoint": "a", "second": 99999999999}',
     '{"schema": 1, "second": 1}'],
)  # fmt: skip
def test_an_absurd_slice_is_one_line(found: RunRecord, tmp_path: Path, row: str) -> None:
    directory = _copy(found, tmp_path)
    (directory / "slices.jsonl").write_text(row + "\n")
    with pytest.raises(RecordError, match=r"slices\.jsonl"):
        _ = RunRecord.load(directory).seconds


def test_a_histogram_that_is_none_is_one_line() -> None:
    with pytest.raises(RecordError, match="unreadable histogram"):
        Distribution.decode("HISTFnonsense")
    assert Distribution.decode(histogram([0.5])).quantile(1) == pytest.approx(0.5, rel=1e-3)


def test_runs_are_found_by_id_prefix_path_and_latest(tmp_path: Path) -> None:
    first, second = record(tmp_path, Made(stop_at=1)), record(tmp_path, Made(stop_at=1))
    unique = next(first.id[:n] for n in range(30) if not second.id.startswith(first.id[:n]))
    assert find_run(tmp_path, first.id) == first.directory
    assert find_run(tmp_path, unique) == first.directory
    assert find_run(tmp_path, str(first.directory)) == first.directory
    assert find_run(tmp_path, str(first.directory / "run.json")) == first.directory
    assert find_run(tmp_path, "latest") == second.directory
    assert find_run(tmp_path, "memorai/latest") == second.directory
    assert [run.id for run in list_runs(tmp_path)] == sorted((first.id, second.id), reverse=True)
    assert list_runs(tmp_path, "logai") == []


@pytest.mark.parametrize("name", ["nosuch", "logai/latest", "", "../..", "2026\x7f"])
def test_a_run_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    record(tmp_path, Made(stop_at=1))
    with pytest.raises(HarnessError) as caught:
        find_run(tmp_path, name)
    assert "\n" not in str(caught.value)


def test_an_ambiguous_prefix_names_the_candidates(tmp_path: Path) -> None:
    runs = [record(tmp_path, Made(stop_at=1)) for _ in range(2)]
    with pytest.raises(RecordError, match="fits 2 runs") as caught:
        find_run(tmp_path, "20")
    assert all(run.id in str(caught.value) for run in runs)
