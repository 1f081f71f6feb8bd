"""The cases of the corpus and what each must come to."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from harness.errors import DEFECT, EXIT_CODES, HarnessError
from tests.corpus.commands import CALLS, FIT, NOT_ALONE, ON_CLUSTER
from tests.corpus.files import FILES, VALUES, File, breaks, replace_value, rewrite
from tests.corpus.project import Ended, Project
from tests.corpus.words import ANYTHING, NONSENSE, Kind, options

LONGEST_LINE = 1_100
MOST_CPU_S = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    """One command line, or one file and the command that reads it."""

    kind: Kind
    about: str
    words: tuple[str, ...]
    file: File | None = None
    broken: str | None = None
    value: Any = None
    seed: int = 0

    def run(self, project: Project) -> Ended:
        """Run it, with its file changed for as long."""
        words = [part for word in self.words[:1] for part in project.words(word)]
        words += self.words[1:]
        if self.file is None:
            return project.run(words)
        path, choose = project.path(self.file.path), random.Random(self.seed)  # noqa: S311
        try:
            if self.broken is not None:
                breaks(self.file)[self.broken](path)
            elif self.kind == "valid":
                rewrite(path, self.file.form, choose)
            else:
                replace_value(path, self.file.form, choose, self.value)
            return project.run(words)
        finally:
            project.mend(self.file.path)


def problem_of(case: Case, ended: Ended) -> str | None:
    """What is wrong with how the case ended; None: nothing."""
    lines = [line for line in ended.said.splitlines() if line.startswith("harness: ")]
    lines = [line for line in lines if not line.startswith("harness: warning: ")]
    refused = ended.code == HarnessError.exit_code
    expected = case.file is not None and ended.code in case.file.codes  # no cluster answers there
    wrong = {
        "too long": ended.cpu_s > MOST_CPU_S,
        "crash": ended.code == DEFECT or "Traceback" in ended.said,
        "undocumented exit code": ended.code is not None and ended.code not in EXIT_CODES,
        "accepted": case.kind == "invalid" and not refused,
        "refused": case.kind == "valid" and refused and not expected,
        "not one line": refused and (len(lines) != 1 or len(lines[0]) > LONGEST_LINE),
    }
    return next((problem for problem, found in wrong.items() if found), None)


def _options() -> st.SearchStrategy[Case]:
    found = []
    for each in options():
        if each.command not in CALLS:
            continue
        call = f"{each.command} {CALLS[each.command]}"
        alone = each.word not in NOT_ALONE and each.command not in ON_CLUSTER
        valid = st.sampled_from(FIT[each.key]) if each.key in FIT else each.valid
        if each.is_flag:
            found.append(st.just(Case("invalid", each.key, (call, f"{each.word}=yes"))))
            continue
        if valid is not None and alone:
            found.append(_with("valid", each.key, call, each.word, valid))
        if each.invalid is not None:
            found.append(_with("invalid", each.key, call, each.word, each.invalid))
        else:
            found.append(_with("any", each.key, call, each.word, ANYTHING))
    return st.one_of(found)


def _with(
    kind: Kind, key: str, call: str, word: str, words: st.SearchStrategy[str]
) -> st.SearchStrategy[Case]:
    return words.map(lambda text: Case(kind, key, (call, f"{word}={text}")))


def _names() -> st.SearchStrategy[Case]:
    """Names of things that are not there, and words that belong nowhere."""
    calls = (
        "show", "judge", "export", "experiment show", "experiment plan", "services", "gate",
        "fault show", "perf", "history", "baseline show", "capacity", "experiment lint",
    )  # fmt: skip
    named = st.builds(
        lambda call, word: Case("invalid", f"{call} NAME", (call, f"no-such-{word}")),
        st.sampled_from(calls), ANYTHING,
    )  # fmt: skip
    called = sorted(f"{name} {words}" for name, words in CALLS.items())
    stray = st.builds(
        lambda call, word: Case("invalid", "unknown option", (call, f"--no-such{word}")),
        st.sampled_from(called), st.text("abc=", max_size=5),
    )  # fmt: skip
    commands = NONSENSE.map(lambda word: Case("invalid", "unknown command", ("", f"x{word}")))
    return st.one_of(named, stray, commands)


def _files() -> st.SearchStrategy[Case]:
    return st.one_of([_of_file(each) for each in FILES])


def _of_file(file: File) -> st.SearchStrategy[Case]:
    command = st.sampled_from(file.commands)
    seed = st.integers(0, 10**6)
    sound = st.builds(
        lambda call, seed: Case("valid", file.path, (call,), file, seed=seed), command, seed
    )
    broken = st.builds(
        lambda call, name: Case(_when_broken(call), f"{file.path}: {name}", (call,), file, name),
        command, st.sampled_from(sorted(breaks(file))),
    )  # fmt: skip
    changed = st.builds(
        lambda call, value, seed: Case("any", file.path, (call,), file, None, value, seed),
        command, VALUES, seed,
    )  # fmt: skip
    return st.one_of(sound, broken, changed, changed)


def _when_broken(call: str) -> Kind:
    """One record that cannot be read hides no other from a list."""
    return "any" if call in {"runs", "baseline list"} else "invalid"


def cases() -> st.SearchStrategy[Case]:
    """All of them: options, names, files."""
    return st.one_of(_options(), _options(), _names(), _files(), _files())
