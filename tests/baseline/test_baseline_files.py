"""The baseline file under many hands: concurrent changes, merges, damage, foreign names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.baseline import AcceptedRun, Baseline, BaselineStore, Conditions
from harness.baseline.document import parse_baselines, render_baselines
from harness.baseline.levels import accepted_series
from harness.baseline.merge import merge_files, merge_groups, repair_file
from harness.cli.baseline import group as baseline_command
from harness.errors import BaselineError, RecordError
from harness.record import RunRecord
from tests.gate.made_runs import runs
from tests.record.synthetic import Made, record

CONDITIONS = Conditions("lab", "service", "4 x CPU, 16 GiB", "replicas 3", "gate 0", "memorai 0")
RUNS = tuple(runs(8))


@pytest.fixture
def store(tmp_path: Path) -> BaselineStore:
    return BaselineStore(tmp_path / "baselines")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return record(tmp_path_factory.mktemp("results"))


def of(*chosen: int, **changed: Any) -> Baseline:
    kept = tuple(replace(RUNS[at], id=f"run-{at}") for at in chosen)
    return replace(Baseline("memorai", "memorai", CONDITIONS, kept), **changed)


def ids(groups: tuple[Baseline, ...]) -> list[list[str]]:
    return [[run.id for run in group.runs] for group in groups]


def put(path: Path, *groups: Baseline) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = render_baselines(groups)
    path.write_text(text)
    return path


def invoke(*words: str) -> Result:
    return CliRunner().invoke(baseline_command, list(words), standalone_mode=False)


def together(work: Callable[[int], object], count: int) -> None:
    """Run the calls at the same time; the lock belongs to the open file, so threads compete."""
    ready = threading.Barrier(count)

    def one(at: int) -> None:
        ready.wait()
        work(at)

    threads = [threading.Thread(target=one, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_ten_accepts_at_once_keep_ten_runs(store: BaselineStore, made: RunRecord) -> None:
    records = [replace(made, meta=made.meta | {"id": f"run-{at}"}) for at in range(10)]
    together(lambda at: store.accept([records[at]]), 10)
    assert ids(store.all()) == [[f"run-{at}" for at in range(10)]]
    assert [path.name for path in store.root.rglob("*.*")] == ["memorai.json"]


def test_drops_and_accepts_at_once_lose_nothing(store: BaselineStore, made: RunRecord) -> None:
    put(store.path("memorai", "memorai"), of(0, 1, 2, 3, 4, 5))
    records = [replace(made, meta=made.meta | {"id": f"new-{at}"}) for at in range(3)]

    def work(at: int) -> None:
        if at < 3:
            store.drop("memorai", f"run-{at}", "noisy")
        else:
            store.accept([records[at - 3]], new=True)

    together(work, 6)
    assert sorted(ids(store.all()), key=str) == [
        ["new-0", "new-1", "new-2"],
        ["run-3", "run-4", "run-5"],
    ]


def test_groups_of_the_same_conditions_become_one_with_each_run_once(store: BaselineStore) -> None:
    put(store.path("memorai", "memorai"), of(0, 1, 2), of(1, 2, 3))
    assert ids(store.all()) == [["run-0", "run-1", "run-2", "run-3"]]
    store.drop("memorai", "run-0", "noisy")
    assert ids(store.all()) == [["run-1", "run-2", "run-3"]]


def test_a_run_listed_nine_times_is_refused_and_can_be_mended(store: BaselineStore) -> None:
    path = put(store.path("memorai", "memorai"), of(0, *[1] * 9))
    with pytest.raises(BaselineError, match=r"run-1 is listed 9 times") as refused:
        store.all()
    assert f"harness baseline merge {path}" in str(refused.value)
    assert invoke("merge", str(path)).exit_code == 0
    assert ids(store.all()) == [["run-0", "run-1"]]


def test_one_run_with_two_figures_is_refused_everywhere(tmp_path: Path) -> None:
    other = of(1, runs=(replace(RUNS[2], id="run-1"),))
    path = put(tmp_path / "memorai" / "memorai.json", of(0, 1), other)
    with pytest.raises(BaselineError, match="run-1 stands in it twice, with different figures"):
        parse_baselines(path.read_text(), str(path))
    with pytest.raises(BaselineError, match="different figures"):
        repair_file(path)
    with pytest.raises(BaselineError, match="different figures"):
        merge_groups((), (of(0, 1),), (other,))


def test_conflict_markers_are_explained_with_the_command_that_merges(store: BaselineStore) -> None:
    path = put(store.path("memorai", "memorai"), of(0))
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}=======\n{{}}\n>>>>>>> other\n")
    with pytest.raises(BaselineError, match=rf"{path}:1: git left conflict markers") as refused:
        store.all()
    assert f"harness baseline merge {path}" in str(refused.value)
    with pytest.raises(BaselineError, match="git does not hold the file as unmerged"):
        repair_file(path)


def test_a_merge_keeps_what_both_accepted_and_drops_what_either_dropped() -> None:
    other = replace(CONDITIONS, machine="2 x CPU")
    base = (of(0, 1, 2),)
    ours = (of(1, 2, 3, notes=({"reason": "noisy", "run": "run-0"},)),)
    theirs = (of(0, 1, 4), of(5, conditions=other))
    merged = merge_groups(base, ours, theirs)
    assert sorted(ids(merged)) == [["run-1", "run-3", "run-4"], ["run-5"]]
    assert next(g for g in merged if len(g.runs) == 3).notes == ours[0].notes


def test_a_merge_of_another_scenario_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    ours = put(tmp_path / "a.json", of(0))
    theirs = put(tmp_path / "b.json", of(1, scenario="other"))
    before = ours.read_bytes()
    with pytest.raises(BaselineError, match="memorai/memorai and memorai/other"):
        merge_files(ours, theirs)
    assert ours.read_bytes() == before


def git(repository: Path, *words: str) -> int:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", "-C", str(repository), *who, *words], capture_output=True, check=False
    )
    return done.returncode


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two branches of which each took one run out or accepted one."""
    file = tmp_path / "baselines" / "memorai" / "memorai.json"
    git(tmp_path, "init", "-q", "-b", "main")
    for words, kept in (((), (0, 1)), (("-b", "other"), (0, 1, 3)), (("main",), (1, 2))):
        if words:
            assert git(tmp_path, "checkout", "-q", *words) == 0
        put(file, of(*kept))
        assert git(tmp_path, "add", "-A") == 0
        assert git(tmp_path, "commit", "-q", "-m", "one") == 0
    return tmp_path


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@needs_git
def test_a_conflicted_file_is_merged_from_the_two_sides_that_git_has(repository: Path) -> None:
    assert git(repository, "merge", "other") != 0
    store = BaselineStore(repository / "baselines")
    with pytest.raises(BaselineError, match="conflict markers"):
        store.all()
    assert invoke("merge", str(store.path("memorai", "memorai"))).exit_code == 0
    assert ids(store.all()) == [["run-1", "run-2", "run-3"]]


@needs_git
def test_the_documented_merge_driver_merges_without_a_conflict(repository: Path) -> None:
    project = Path(__file__).parents[2]
    driver = f"PYTHONPATH={project} {sys.executable} -m harness baseline merge --base %O %A %B"
    assert git(repository, "config", "merge.harness-baseline.driver", driver) == 0
    attributes = repository / ".git" / "info" / "attributes"
    attributes.write_text("baselines/**/*.json merge=harness-baseline\n")
    assert git(repository, "merge", "-m", "both", "other") == 0
    assert ids(BaselineStore(repository / "baselines").all()) == [["run-1", "run-2", "run-3"]]


def test_a_run_that_did_not_pass_is_refused_unless_it_is_accepted_knowingly(
    store: BaselineStore, tmp_path: Path
) -> None:
    failed = record(tmp_path, Made(failures=lambda *at: {"status_500": at[2] // 3}))
    with pytest.raises(BaselineError, match=r"did not pass \(fail\): .*--even-failed"):
        store.accept([failed])
    assert not store.path("memorai", "memorai").exists()
    store.accept([failed], even_failed=True)
    (kept,) = store.all()[0].runs
    assert kept.outcome == "fail"


def test_an_invalid_run_is_refused_even_so(store: BaselineStore, tmp_path: Path) -> None:
    late = record(tmp_path, Made(lag_s=0.05))
    with pytest.raises(BaselineError, match="is invalid"):
        store.accept([late], even_failed=True)


@pytest.mark.parametrize(
    "name", ["/tmp/owned", "../owned", "a/b", "..", ".git", "", "a\\b", "a\0b", "x\n", "n" * 250]
)
@pytest.mark.parametrize("kind", ["service", "scenario"])
def test_a_record_cannot_say_where_its_baseline_is_written(
    store: BaselineStore, made: RunRecord, kind: str, name: str
) -> None:
    if kind == "service":
        foreign = replace(made, service=replace(made.service, name=name))
    else:
        traffic = replace(made.plan.traffic, scenario=name)
        foreign = replace(made, plan=replace(made.plan, traffic=traffic))
    with pytest.raises(BaselineError, match=rf"{kind} .* cannot name a baseline file"):
        store.accept([foreign], new=True)
    assert not store.root.exists()


def test_a_file_that_claims_another_service_is_refused(store: BaselineStore) -> None:
    put(store.path("memorai", "memorai"), of(0, service="../other"))
    with pytest.raises(BaselineError, match=r"holds a baseline of \.\./other/memorai"):
        store.all()


def test_a_damaged_file_hides_no_other(store: BaselineStore) -> None:
    put(store.path("memorai", "memorai"), of(0, 1))
    for name, text in {"deep": "[" * 100_000, "cut": '{"schema": 1', "latin": "\xe9"}.items():
        store.path("memorai", name).write_text(text, encoding="latin-1")
    found, damaged = store.scan()
    assert ids(found) == [["run-0", "run-1"]]
    assert len(damaged) == 3
    assert store.drop("memorai", "run-0", "noisy").runs[0].id == "run-1"
    shown = invoke("list", "--baselines", str(store.root))
    assert "memorai      memorai        1 runs" in shown.output
    assert isinstance(shown.exception, BaselineError)


def test_runs_of_two_services_are_not_accepted_together(
    store: BaselineStore, made: RunRecord
) -> None:
    other = replace(made, meta=made.meta | {"id": "x"}, service=replace(made.service, name="other"))
    with pytest.raises(BaselineError, match=r"is a run of other, the first of memorai"):
        store.accept([made, other])


def test_files_written_before_acceptance_was_kept_stay_readable(store: BaselineStore) -> None:
    path = put(store.path("memorai", "memorai"), of(0))
    document = json.loads(path.read_text())
    for name in ("acceptance", "outcome", "service_commit"):
        del document["baselines"][0]["runs"][0][name]
    path.write_text(json.dumps(document))
    (run,) = store.all()[0].runs
    assert (run.acceptance, run.outcome, run.service_commit) == (None, None, None)


def test_the_commit_of_the_service_who_accepted_and_changes_are_shown(
    store: BaselineStore, made: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"NAME": "user.name", "VALUE": "Ann Other"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{'KEY' if name == 'NAME' else name}_0", value)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    directory = shutil.copytree(made.directory, tmp_path / "results" / "memorai" / made.id)
    meta = json.loads((directory / "run.json").read_text())
    meta["labels"] = {"service_commit": "v1.2.3"}
    meta["environment"]["commit"] = f"{'a' * 40}-dirty"
    (directory / "run.json").write_text(json.dumps(meta))
    where = ("--baselines", str(store.root))
    said = invoke("accept", made.id, *where, "--results", str(tmp_path / "results"))
    assert "made with uncommitted changes" in said.output
    shown = invoke("show", "memorai", *where).output
    for part in ("aaaaaaaaaa-dirty", "service v1.2.3", "by Ann Other", " ms"):
        assert part in shown, shown


def test_what_is_not_there_is_one_line_and_is_not_made(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path / "baselines")
    with pytest.raises(BaselineError, match="has no accepted run x"):
        store.drop("memorai", "x", "noisy")
    for path in (tmp_path / "gone" / "a.json", tmp_path / "a.json"):
        with pytest.raises(BaselineError, match=r"no such directory|cannot be read"):
            repair_file(path)
        with pytest.raises(BaselineError, match=r"no such directory|cannot be read"):
            merge_files(path, path)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_place_is_one_line(tmp_path: Path, made: RunRecord) -> None:
    (tmp_path / "baselines").write_text("a file")
    with pytest.raises(RecordError, match="cannot write here"):
        BaselineStore(tmp_path / "baselines").accept([made])


def entry(baseline: Baseline, at: int) -> AcceptedRun:
    return baseline.runs[at]


def test_a_label_or_an_acceptance_does_not_make_two_runs_of_one() -> None:
    labelled = of(0, runs=(replace(entry(of(0), 0), label="v1"),))
    assert ids(merge_groups((), (of(0, 1),), (labelled,))) == [["run-0", "run-1"]]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"throughput": ', '"throughput": NaN, "was": ', "NaN is no number"),
        ('"hold_s": 20.0', '"hold_s": 1e999', "1e999 is no number"),
        ('"failed": 0', '"failed": -1', "run run-0, .*: figures that no run has"),
        ('"completed": 10000', '"completed": 10001', r"run run-0, \*: figures that no run has"),
        ('"*": {', '"all": {', "run run-0 has no figures of all endpoints"),
    ],
)
def test_figures_that_no_run_has_are_refused_with_the_file_and_the_run(
    store: BaselineStore, old: str, new: str, says: str
) -> None:
    path = put(store.path("memorai", "memorai"), of(0))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BaselineError, match=f"{path}: .*{says}"):
        store.all()


def test_a_note_whose_figures_were_edited_is_passed_over(store: BaselineStore) -> None:
    note = {"reason": "x", "figures": [{"p95": "fast"}, 7, {"run": "run-9", "p95": 1.0}]}
    put(store.path("memorai", "memorai"), of(0, notes=(note,)))
    (group,) = store.all()
    assert [value for _, value in accepted_series(group, "p95")][-1] == 1.0
