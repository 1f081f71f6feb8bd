"""What a record keeps of the project's revision."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.git import short_commit
from harness.record import capture_environment


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
