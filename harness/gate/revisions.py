"""Two revisions side by side: built in work trees, started together, compared in ABBA pairs.

For machines that are never the same twice: no stored run is needed, and whatever the machine is
like, both sides feel it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.baseline import measure
from harness.catalog import load_catalog, project_root
from harness.errors import PlatformError, UsageError
from harness.gate.model import GateVerdict
from harness.gate.noise import PILOT_RUNS, PILOT_S, Noise, noise_of
from harness.gate.run import GateOptions, make_run, verdict_on_pairs
from harness.git import ask_git, run_git, short_commit
from harness.platform.program import Program, Running, run_to_end, running
from harness.record import RunRecord
from harness.scratch import scratch
from harness.session.options import RunOptions, Say, make_profile
from harness.session.own import find_own
from harness.session.run import session
from harness.stats.pairs import LEAST_PAIRS, abba_order
from harness.traffic.model import LoadProfile

BUILD_S = 1800.0
"""The longest that a build may take: what takes longer in CI is no gate on every change."""


@dataclass(frozen=True, slots=True)
class Start:
    """How both revisions are built and started; None: the service's own of the catalogue.

    `command` and `build` are commands of the shell, run in the work tree.
    """

    command: str
    build: str | None = None
    port_variable: str = "PORT"
    ready_path: str | None = None
    ready_s: float = 60.0
    build_s: float = BUILD_S


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two programs; `name` is A (the baseline) or B (the candidate)."""

    name: str
    title: str
    program: Program
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """A gate on two programs: how it runs, and what was made so far."""

    options: GateOptions
    sides: tuple[Side, Side]
    logs: Path
    say: Say
    made: dict[str, list[RunRecord]] = field(default_factory=lambda: {"A": [], "B": []})


def parse_revisions(text: str) -> tuple[str, str, bool]:
    """`BASE..HEAD` (or `BASE..`, whose head is HEAD) and whether it is `BASE...HEAD`.

    Three dots take the commit where HEAD left BASE, as `git diff` does. Raises UsageError.
    """
    dots = "..." if "..." in text else ".."
    base, found, head = text.partition(dots)
    head = head or "HEAD"
    if not found or not base or any(word.startswith("-") or ".." in word for word in (base, head)):
        raise UsageError(f"--revisions {text!r}", "give it as BASE..HEAD, e.g. main..HEAD")
    return base, head, dots == "..."


@contextlib.contextmanager
def revision_sides(
    text: str, repository: Path, service: str, how: Start, logs: Path, say: Say
) -> Iterator[tuple[Side, Side]]:
    """Both revisions of `BASE..HEAD`, checked out and built; the work trees go on leaving.

    `repository` may be a directory within one: commands run in the same directory of each work
    tree. Raises UsageError for what git does not know, PlatformError for a build that fails.
    """
    base, head, fork = parse_revisions(text)
    commits = [_commit(repository, name) for name in (base, head)]
    if fork:
        commits[0] = _fork(repository, base, head, commits)
    if commits[0] == commits[1]:
        say(f"both revisions are {short_commit(commits[0])}: this measures the machine's noise")
    if run_git(repository, "status", "--porcelain", "--untracked-files=no"):
        say("changes that are not committed are in neither revision")
    inside = run_git(repository, "rev-parse", "--show-prefix")
    with scratch("revisions") as trees_in:
        sides = []
        with contextlib.ExitStack() as trees:
            for name, title, commit in zip("AB", (base, head), commits, strict=True):
                tree = trees_in / name
                trees.enter_context(_work_tree(repository, tree, commit))
                program = _program(how.command, tree / inside, service, how)
                if (tree / ".gitmodules").exists():
                    say("submodules are not checked out: add git submodule update to --build")
                if how.build:
                    say(f"building {title} ({short_commit(commit)})")
                    run_to_end(
                        how.build, program.directory, logs / f"build-{name}.log", how.build_s
                    )
                sides.append(Side(name, f"{title} ({short_commit(commit)})", program, commit))
            yield sides[0], sides[1]


def command_sides(baseline: str, candidate: str, service: str, how: Start) -> tuple[Side, Side]:
    """Two commands of the shell, run in the current directory, as the two sides."""
    first, second = (
        Side(name, command, _program(command, Path.cwd(), service, how))
        for name, command in (("A", baseline), ("B", candidate))
    )
    return first, second


def gate_sides(options: GateOptions, sides: tuple[Side, Side], logs: Path, say: Say) -> GateVerdict:
    """Measure the machine's noise, make the pairs and compare them.

    Both programs are started anew for each pair: a process has luck of its own (placement, memory
    layout, hash seeds), which would else pass for a difference of the revisions. Raises Invalid
    when the machine cannot measure, PlatformError when a program does not start or ends.
    """
    pairs = Pairs(options, sides, logs, say)
    noise = _pilot(pairs)
    for sentence in noise.sentences(options.runs, _hold_s(options.run), options.policy):
        say(sentence)
    order = abba_order(options.runs)
    for pair in range(options.runs):
        _make_pair(pairs, order[2 * pair : 2 * pair + 2], (options.run.seed or 1) + pair)
    return verdict_on_pairs(pairs.made["A"], pairs.made["B"], options.policy)


def refuse_place(options: GateOptions) -> None:
    """Raise UsageError for options of a run that name another place than the two programs."""
    run = options.run
    named = {
        "--target": run.target,
        "--environment": run.environment,
        "--behaviour": run.behaviour,
        "--replicas": run.replicas,
        "--region": run.region,
        "--service-commit": run.service_commit,
        "--platform": run.platform if run.platform != RunOptions("").platform else None,
    }
    for option, value in named.items():
        if value:
            raise UsageError(f"{option} and two programs exclude each other", f"leave out {option}")
    if options.runs < LEAST_PAIRS:
        raise UsageError(
            "one pair has no scatter",
            f"use --runs {LEAST_PAIRS} or more; 10 see 5 % where 3 do not",
        )


def _make_pair(pairs: Pairs, order: str, seed: int) -> None:
    """One run of each side, in this order, on programs started for it, with the same arrivals."""
    a, b = pairs.sides
    with (
        _started(a, pairs.logs) as first,
        _started(b, pairs.logs) as second,
    ):
        here = {"A": (a, first), "B": (b, second)}
        for name in order:
            side, program = here[name]
            record = make_run(
                _run(pairs.options.run, side, program.url), seed, pairs.say, f"{name} "
            )
            for each, started in here.values():
                with _named(each):
                    started.check()
            pairs.made[name].append(record)


def _pilot(pairs: Pairs) -> Noise:
    """Short runs of the baseline against itself, kept nowhere."""
    side = pairs.sides[0]
    with (
        scratch("pilot") as own_files,
        _started(side, pairs.logs) as program,
    ):
        url = program.url
        run = replace(
            _run(pairs.options.run, side, url), duration_s=PILOT_S, results=own_files, report=None
        )
        pairs.say(f"measuring the machine's noise: {PILOT_RUNS} runs of {PILOT_S:g} s")
        records: list[RunRecord] = []
        for at in range(PILOT_RUNS):
            with session(replace(run, seed=1 + at)) as ready:
                records.append(ready.run(_bare(ready.profile())).record)
        with _named(side):
            program.check()
        return noise_of([measure(record) for record in records], records[0].service.primary)


@contextlib.contextmanager
def _started(side: Side, logs: Path) -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        with _named(side):
            program = stack.enter_context(running(side.program, logs / f"{side.name}.log"))
        yield program


@contextlib.contextmanager
def _named(side: Side) -> Iterator[None]:
    """Say which of the two it was."""
    try:
        yield
    except PlatformError as error:
        raise PlatformError(f"{side.name}, {side.title}: {error.problem}", error.remedy) from None


def _run(options: RunOptions, side: Side, url: str) -> RunOptions:
    return replace(options, target=url, service_commit=side.commit)


def _bare(profile: LoadProfile) -> LoadProfile:
    """Without its lead-in, where it has a hold."""
    hold = tuple(segment for segment in profile.segments if segment.phase == "hold")
    return replace(profile, segments=hold) if hold else profile


def _hold_s(options: RunOptions) -> float:
    return sum(s.duration_s for s in make_profile(options).segments if s.phase == "hold")


def _program(command: str, directory: Path, service: str, how: Start) -> Program:
    return Program(
        command,
        directory,
        port_variable=how.port_variable,
        ready_path=how.ready_path or _health_of(service),
        ready_s=how.ready_s,
    )


def _health_of(service: str) -> str:
    """Where a program of the user's, or else a service of the catalogue, says that it is ready."""
    if (own := find_own(service)) is not None:
        return own.program.ready
    return load_catalog(project_root() / "services").service(service).health_path


def _fork(repository: Path, base: str, head: str, commits: list[str]) -> str:
    found = ask_git(repository, "merge-base", *commits)
    if not found:
        raise UsageError(
            f"{repository}: {base} and {head} have no common commit here",
            "a CI checkout may need its history (fetch-depth: 0)",
        )
    return found


def _commit(repository: Path, name: str) -> str:
    if ask_git(repository, "rev-parse", "--git-dir") is None:
        raise UsageError(
            f"{repository} is no git repository (or git is missing)",
            "name one with --repository, or use --baseline-command and --candidate-command",
        )
    words = ("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    found = ask_git(repository, "rev-parse", *words)
    if not found:
        raise UsageError(
            f"{repository}: no revision {name!r}",
            "fetch it; a CI checkout may need its history (fetch-depth: 0)",
        )
    return found.splitlines()[-1]


@contextlib.contextmanager
def _work_tree(repository: Path, directory: Path, commit: str) -> Iterator[None]:
    run_git(repository, "worktree", "add", "--quiet", "--detach", str(directory), commit)
    try:
        yield
    finally:
        run_git(repository, "worktree", "remove", "--force", str(directory))
