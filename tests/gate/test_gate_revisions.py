"""Two revisions side by side: asked for, checked out, built; and what the machine cannot show."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import psutil
import pytest

from harness.baseline import TOTAL
from harness.cli.gate_programs import Programs
from harness.errors import PlatformError, UsageError
from harness.gate.compare import compare_interleaved
from harness.gate.model import Policy
from harness.gate.noise import Noise, noise_of, pairs_needed, visible_shift
from harness.gate.revisions import (
    Pairs,
    Start,
    _pilot,
    command_sides,
    gate_sides,
    parse_revisions,
    refuse_place,
    revision_sides,
)
from harness.gate.run import GateOptions
from harness.platform.lab.own import OwnProgram
from harness.record import RunRecord
from harness.session.options import RunOptions
from tests.gate.made_runs import runs
from tests.gate.toy_revisions import project, repository
from tests.record.synthetic import Made, plan, record
from tests.sequential import exceeds

CATALOGUE = Path(__file__).parents[2] / "services"
WORDS = {
    "revisions": None,
    "repository": Path(),
    "build": None,
    "start": None,
    "baseline_command": None,
    "candidate_command": None,
    "port_variable": "PORT",
    "ready_path": None,
    "ready_s": 60.0,
}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_HOME", str(project(tmp_path / "project", CATALOGUE)))
    return repository(tmp_path / "repository", {"v1": 1.0, "v2": 1.3})


def trees(toy: Path) -> int:
    said = subprocess.run(
        ["git", "-C", str(toy), "worktree", "list"], capture_output=True, text=True, check=True
    )
    return len(said.stdout.splitlines())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("main..HEAD", ("main", "HEAD", False)),
        ("v1.0..", ("v1.0", "HEAD", False)),
        ("main...feature/x", ("main", "feature/x", True)),
    ],
)
def test_revisions_are_read_as_git_reads_them(text: str, meant: tuple[str, str, bool]) -> None:
    assert parse_revisions(text) == meant


@pytest.mark.parametrize(
    "text", ["", "main", "..HEAD", "..", "-x..HEAD", "a..--output=x", "a..b..c"]
)
def test_what_is_no_pair_of_revisions_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"give it as BASE\.\.HEAD"):
        parse_revisions(text)


def test_both_revisions_are_built_in_work_trees_that_go_afterwards(
    toy: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    how = Start("true", build="cp version built", port_variable="P", ready_s=3.0)
    with revision_sides("v1..v2", toy, "toy", how, tmp_path / "logs", said.append) as sides:
        built = [(side.program.directory / "built").read_text() for side in sides]
        directories = [side.program.directory for side in sides]
        assert trees(toy) == 3
    assert built == ["v1", "v2"]
    assert [side.title.split()[0] for side in sides] == ["v1", "v2"]
    assert sides[0].program.ready_path == "/health"
    assert trees(toy) == 1
    assert not any(directory.exists() for directory in directories)
    assert [line.split()[0] for line in said] == ["building", "building"]


def test_a_build_that_fails_leaves_no_work_tree(toy: Path, tmp_path: Path) -> None:
    how = Start("true", build="echo no compiler; exit 2")
    with (
        pytest.raises(PlatformError, match="exit code 2: no compiler"),
        revision_sides("v1..v2", toy, "toy", how, tmp_path / "logs", print),
    ):
        pass
    assert trees(toy) == 1


def test_commands_run_in_the_directory_of_the_repository_that_was_named(
    toy: Path, tmp_path: Path
) -> None:
    (toy / "part").mkdir()
    (toy / "part" / "file").write_text("1")
    subprocess.run(["git", "-C", str(toy), "add", "-A"], check=True)
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(toy), *who, "commit", "-qm", "part"], check=True)
    how = Start("true", build="test -e file")
    with revision_sides("HEAD..HEAD", toy / "part", "toy", how, tmp_path / "l", print) as sides:
        assert sides[0].program.directory.name == "part"


@pytest.mark.parametrize(
    ("revisions", "says"),
    [("v1..v9", r"no revision 'v9'.*fetch-depth: 0"), ("v9..v1", "no revision 'v9'")],
)
def test_a_revision_that_is_not_there_is_named_with_a_remedy(
    toy: Path, tmp_path: Path, revisions: str, says: str
) -> None:
    with (
        pytest.raises(UsageError, match=says),
        revision_sides(revisions, toy, "toy", Start("true"), tmp_path, print),
    ):
        pass


def test_a_checkout_without_the_fork_says_what_to_fetch(toy: Path, tmp_path: Path) -> None:
    git = ("git", "-C", str(toy), "-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run([*git, "checkout", "-q", "--orphan", "apart"], check=True)
    subprocess.run([*git, "commit", "-qm", "apart"], check=True)
    with (
        pytest.raises(UsageError, match=r"v1 and apart have no common commit.*fetch-depth: 0"),
        revision_sides("v1...apart", toy, "toy", Start("true"), tmp_path, print),
    ):
        pass


def test_submodules_are_said_to_be_missing_before_the_build(toy: Path, tmp_path: Path) -> None:
    (toy / ".gitmodules").write_text("")
    git = ("git", "-C", str(toy), "-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "modules"], check=True)
    said: list[str] = []
    with revision_sides("v1..HEAD", toy, "toy", Start("true"), tmp_path, said.append):
        pass
    assert sum("submodule update" in line for line in said) == 1


def test_without_a_repository_two_commands_are_the_remedy(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"no git repository.*--baseline-command"),
        revision_sides("a..b", tmp_path, "toy", Start("true"), tmp_path, print),
    ):
        pass


def test_the_same_revision_and_uncommitted_changes_are_mentioned(toy: Path, tmp_path: Path) -> None:
    (toy / "version").write_text("changed")
    said: list[str] = []
    with revision_sides("v2..HEAD", toy, "toy", Start("true"), tmp_path, said.append):
        pass
    assert "measures the machine's noise" in said[0]
    assert "not committed" in said[1]


@pytest.mark.parametrize(
    ("given", "others", "says"),
    [
        ({"revisions": "a..b"}, {}, "add --command"),
        ({"start": "x"}, {}, "add --revisions"),
        ({"baseline_command": "x"}, {}, "--baseline-command and --candidate-command"),
        ({"revisions": "a..b", "start": "x", "candidate_command": "y"}, {}, "exclude each other"),
        ({"revisions": "a..b", "start": "x"}, {"--time-budget": True}, "--time-budget exclude"),
        ({"revisions": "a..b", "start": "x", "port_variable": "A B"}, {}, "a name like PORT"),
    ],
)
def test_half_of_what_is_needed_is_refused(
    given: dict[str, str], others: dict[str, bool], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        Programs.take({**WORDS, **given}, others)


def test_without_a_program_the_gate_is_the_usual_one() -> None:
    words = {**WORDS, "rate": 5.0}
    assert Programs.take(words, {"--time-budget": True}) is None
    assert words == {"rate": 5.0}


def test_the_program_of_harness_yaml_starts_revisions_where_no_command_does(tmp_path: Path) -> None:
    usual = OwnProgram("shop", "node server.js", str(tmp_path), port_env="MY_PORT")
    said = Programs.take({**WORDS, "revisions": "a..b"}, {}, usual)
    assert said is not None
    assert (said.start, said.port_variable) == ("node server.js", "MY_PORT")
    said = Programs.take({**WORDS, "revisions": "a..b", "start": "npm start"}, {}, usual)
    assert said is not None
    assert (said.start, said.port_variable) == ("npm start", WORDS["port_variable"])
    assert Programs.take(dict(WORDS), {}, usual) is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"target": "http://x:1"}, "--target"),
        ({"behaviour": {"seed": 1}}, "--behaviour"),
        ({"platform": "kubernetes"}, "--platform"),
    ],
)
def test_another_place_than_the_two_programs_is_refused(
    changed: dict[str, object], says: str
) -> None:
    options = GateOptions(replace(RunOptions("toy"), **changed), runs=4)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"{says} and two programs exclude"):
        refuse_place(options)
    with pytest.raises(UsageError, match="one pair has no scatter"):
        refuse_place(GateOptions(RunOptions("toy"), runs=1))


def test_pairs_alternate_on_programs_started_for_each_and_are_compared(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs are made up; the programs are real."""
    driven: list[tuple[str, str | None, str | None, int]] = []

    def made_run(options: RunOptions, seed: int, say: object, side: str) -> RunRecord:
        assert options.target is not None
        assert httpx.get(f"{options.target}/work").status_code == 200
        driven.append((side.strip(), options.service_commit, options.target, seed))
        slow = 1.5 if side.startswith("B") else 1.0
        made = Made(plan=plan(hold_s=10.0), median_s=0.01 * slow, seed=len(driven))
        return record(tmp_path / "results", made)

    monkeypatch.setattr("harness.gate.revisions.make_run", made_run)
    monkeypatch.setattr("harness.gate.revisions._pilot", lambda pairs: Noise("p95", 0.01))
    said: list[str] = []
    how = Start(f"exec {sys.executable} server.py")
    options = GateOptions(RunOptions("toy"), runs=4)
    with revision_sides("v1..v2", toy, "toy", how, tmp_path / "logs", said.append) as sides:
        verdict = gate_sides(options, sides, tmp_path / "logs", said.append)
    assert "".join(side for side, *_ in driven) == "ABBAABBA"
    assert [seed for *_, seed in driven] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert len({target for _, _, target, _ in driven}) == 8
    assert len({commit for side, commit, *_ in driven if side == "A"}) == 1
    assert len({commit for _, commit, *_ in driven}) == 2
    assert (verdict.outcome, verdict.design, len(verdict.after)) == ("fail", "interleaved", 4)
    assert "show a change of" in said[0]


def test_a_program_that_dies_in_a_run_is_named(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(options: RunOptions, seed: int, say: object, side: str) -> RunRecord:
        for one in psutil.process_iter(["cmdline"]):
            if str(tmp_path) in (one.info["cmdline"] or []):
                one.kill()
                while one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.01)
        return record(tmp_path / "results", Made(plan=plan(hold_s=10.0)))

    monkeypatch.setattr("harness.gate.revisions.make_run", killed)
    monkeypatch.setattr("harness.gate.revisions._pilot", lambda pairs: Noise("p95", 0.01))
    how = Start(f"exec {sys.executable} server.py {tmp_path}")
    with (
        pytest.raises(PlatformError, match=r"A, v1 \(.*ended by signal 9"),
        revision_sides("v1..v2", toy, "toy", how, tmp_path / "logs", print) as sides,
    ):
        gate_sides(GateOptions(RunOptions("toy"), runs=2), sides, tmp_path / "logs", print)
    assert trees(toy) == 1


def test_the_noise_is_measured_in_seven_runs_of_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = record(tmp_path, Made(plan=plan(hold_s=10.0)))
    asked: list[tuple[float | None, int | None]] = []

    @contextlib.contextmanager
    def session(options: RunOptions) -> Iterator[object]:
        asked.append((options.duration_s, options.seed))
        run = SimpleNamespace(record=made)
        yield SimpleNamespace(profile=lambda: made.plan.profile, run=lambda profile: run)

    program = SimpleNamespace(url="http://127.0.0.1:1", check=lambda: None)
    monkeypatch.setattr("harness.gate.revisions.session", session)
    monkeypatch.setattr(
        "harness.gate.revisions._started", lambda side, logs: contextlib.nullcontext(program)
    )
    sides = command_sides("a", "b", "memorai", Start("a"))
    assert _pilot(Pairs(GateOptions(RunOptions("memorai")), sides, tmp_path, print)).sd == 0
    assert asked == [(5.0, seed) for seed in range(1, 8)]


def test_noise_that_forgets_shrinks_with_the_root_of_the_length() -> None:
    assert Noise("p95", 0.02).span(20.0) == pytest.approx((0.01, 0.02))


def test_noise_is_the_scatter_of_neighbours_without_the_first_run() -> None:
    made = runs(400, sd=0.02)
    assert noise_of(made, "p95").sd == pytest.approx(0.02 * math.sqrt(2), rel=0.1)
    figures = made[0].endpoints[TOTAL]
    drifting = [
        replace(run, endpoints={TOTAL: replace(figures, quantiles={"p95": (v, None, None)})})
        for run, v in zip(made, np.exp(np.linspace(0, 1, 400)), strict=True)
    ]
    assert noise_of(drifting, "p95").sd == pytest.approx(1 / 399, rel=0.01)
    assert noise_of(made, "error_ratio").sd is None


def test_the_warning_names_what_a_noisy_machine_cannot_see_and_what_would() -> None:
    quiet, noisy, hopeless = (Noise("p95", sd) for sd in (0.005, 0.04, 0.8))
    assert len(quiet.sentences(10, 20.0, Policy())) == 1
    (_, warning) = noisy.sentences(3, 20.0, Policy())
    assert "5 % is invisible" in warning
    assert "--runs" in warning
    assert "no affordable number" in hopeless.sentences(10, 20.0, Policy())[1]
    assert "unknown" in Noise("p95", None).sentences(10, 20.0, Policy())[0]


@pytest.mark.parametrize(("pairs", "sd"), [(5, 0.01), (10, 0.03)])
def test_the_shift_called_visible_is_claimed_in_four_of_five_gates(pairs: int, sd: float) -> None:
    policy = Policy(margin=0.0)
    shift = visible_shift(sd, pairs, policy)

    def claimed(seed: int) -> bool:
        before = runs(pairs, sd=sd / math.sqrt(2), seed=2 * seed)
        after = runs(pairs, sd=sd / math.sqrt(2), seed=2 * seed + 1, slow={TOTAL: 1 + shift})
        verdict = compare_interleaved("toy", "toy", before, after, "p95", policy)
        primary = next(row for row in verdict.rows if row.primary)
        return primary.outcome == "regression"

    assert not exceeds((claimed(seed) for seed in range(1000)), 0.80, 0.92, miss=0.1)
    assert not exceeds((not claimed(seed) for seed in range(1000, 2000)), 0.20, 0.35, miss=0.1)


def test_as_many_pairs_as_are_advised_show_the_margin_and_one_fewer_does_not() -> None:
    policy = Policy()
    wanted = pairs_needed(0.03, policy)
    assert wanted is not None
    assert visible_shift(0.03, wanted, policy) <= 0.05 < visible_shift(0.03, wanted - 1, policy)
