"""What a record keeps of the project's revision and of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.git import short_commit
from harness.platform.model import LocalProcesses
from harness.record import environment
from harness.record.environment import HostSampler, capture_environment, times_of_trees


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "a").write_text("1")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "a"), (*who, "commit", "-q", "-m", "one")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


def test_a_clean_work_tree_is_its_commit(repository: Path) -> None:
    commit = capture_environment(repository)["commit"]
    assert len(commit) == 40


@pytest.mark.parametrize("name", ["a", "new", "src/new"])
def test_a_changed_or_unknown_file_makes_it_dirty(repository: Path, name: str) -> None:
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("2")
    assert capture_environment(repository)["commit"].endswith("-dirty")


@pytest.mark.parametrize("name", ["results", "baselines"])
def test_what_the_harness_writes_itself_does_not(repository: Path, name: str) -> None:
    (repository / name).mkdir()
    (repository / name / "run.json").write_text("{}")
    assert not capture_environment(repository)["commit"].endswith("-dirty")


def test_without_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert capture_environment(tmp_path)["commit"] is None


def test_a_short_commit_keeps_what_says_that_files_were_changed() -> None:
    assert short_commit("a" * 40 + "-dirty") == "aaaaaaaaaa-dirty"
    assert short_commit(None) == "?"


def test_a_hook_of_another_repository_does_not_answer_for_it(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = capture_environment(repository)["commit"]
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("other")))
    assert capture_environment(repository)["commit"] == commit


def burning(seconds: float, below: str = "") -> subprocess.Popen[str]:
    """A process that has used so much of a core, itself or in a child, and is there still."""
    burn = f"import time\nwhile time.process_time() < {seconds}: pass\nprint(flush=True); input()"
    if below:
        burn = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    child = subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


@pytest.mark.parametrize("below", ["", "a child"])
def test_the_time_of_a_tree_is_that_of_every_process_in_it(below: str) -> None:
    with burning(0.2, below) as child:
        ran, waited = times_of_trees((child.pid,))
        child.kill() if not below else psutil.Process(child.pid).children()[0].kill()
    assert ran >= 0.19
    assert child.pid in waited
    assert min(waited.values()) >= 0


def test_what_others_take_of_the_cores_of_a_service_is_not_its_own() -> None:
    cores = tuple(range(psutil.cpu_count() or 1))
    own = HostSampler(LocalProcesses((os.getpid(),), cores))
    foreign = HostSampler(LocalProcesses((1 << 30,), cores))
    with burning(0.5) as child:
        time.sleep(max(0.0, 1.0 / len(cores)))
        found, apart = own.sample(), foreign.sample()
        child.kill()
    assert found is not None
    assert apart is not None
    assert found["others"] < apart["others"]
    assert found["waited"] > apart["waited"] == 0
    assert found["longest_wait"] > apart["longest_wait"] == 0


def test_a_wait_that_began_before_the_last_look_is_told_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel counts it when it ends."""
    looks = iter([{7: 1.0, 8: 0.0}, {7: 1.0, 8: 0.1}, {7: 5.5, 8: 0.2, 9: 0.3}])
    monkeypatch.setattr(environment, "times_of_trees", lambda _: (0.0, next(looks)))
    sampler = HostSampler(LocalProcesses((), (0,)))
    longest = []
    for _ in range(2):
        time.sleep(1.0 / (psutil.cpu_count() or 1) + 0.1)
        longest.append((sampler.sample() or {})["longest_wait"])
    assert longest == [0.1, 4.5]


def test_without_processes_of_its_own_a_sample_says_nothing_of_others() -> None:
    sampler = HostSampler()
    time.sleep(1.0 / (psutil.cpu_count() or 1) + 0.1)
    assert set(sampler.sample() or {}) == {"busy", "steal"}
