"""Merging the baseline files of two branches, run by run."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from harness.baseline.document import (
    conflict_line,
    locked,
    parse_baselines,
    read_text,
    render_baselines,
    unite,
)
from harness.baseline.model import Baseline
from harness.errors import BaselineError
from harness.git import ask_git
from harness.storage import write_atomic

Groups = tuple[Baseline, ...]

STAGES = {1: "ancestor", 2: "ours", 3: "theirs"}
"""What git's index holds of an unmerged path, by stage."""


def merge_groups(base: Groups, ours: Groups, theirs: Groups) -> Groups:
    """Three-way: what either side accepted since `base` is in, what either took out is out.

    Raises BaselineError when one run has different figures on the two sides, or when the
    sides are of different services or scenarios.
    """
    kinds = {(group.service, group.scenario) for group in (*base, *ours, *theirs)}
    if len(kinds) > 1:
        names = " and ".join(sorted("/".join(kind) for kind in kinds))
        raise BaselineError(f"these are baselines of {names}", "merge files of one scenario")
    had, *have = (
        {(group.conditions, run.id) for group in side for run in group.runs}
        for side in (base, ours, theirs)
    )
    removed = had - (have[0] & have[1])
    merged = []
    for group in unite((*ours, *theirs), "the two sides"):
        kept = tuple(run for run in group.runs if (group.conditions, run.id) not in removed)
        if kept:
            merged.append(replace(group, runs=kept))
    return tuple(merged)


def merge_files(ours: Path, theirs: Path, base: Path | None = None) -> Groups:
    """Merge `theirs` into `ours`, which is replaced; an empty or missing `base` has no runs.

    As a git merge driver: `harness baseline merge --base %O %A %B`. Raises BaselineError and
    leaves `ours` as it is where that cannot be.
    """
    with _changing(ours):
        sides = [parse_baselines(read_text(path), str(path)) for path in (ours, theirs)]
        text = read_text(base) if base is not None and base.is_file() else ""
        merged = merge_groups(_ancestor(text, str(base)), *sides)
        write_atomic(ours, render_baselines(merged))
    return merged


def repair_file(path: Path) -> Groups:
    """Replace a file by the merge of the sides that git has in its index, where it has any.

    Elsewhere a run that the file lists more than once is kept once. Raises BaselineError for
    conflict markers in a path that git does not hold as unmerged.
    """
    with _changing(path):
        ancestor, ours, theirs = (
            ask_git(path.parent, "show", f":{number}:./{path.name}") for number in STAGES
        )
        if ours is None or theirs is None:
            merged = _repaired(path)
        else:
            sides = [
                parse_baselines(text, f"{path} ({STAGES[number]})", repair=True)
                for number, text in ((2, ours), (3, theirs))
            ]
            merged = merge_groups(_ancestor(ancestor or "", f"{path} (ancestor)"), *sides)
        write_atomic(path, render_baselines(merged))
    return merged


def _changing(path: Path) -> AbstractContextManager[None]:
    if not path.parent.is_dir():
        raise BaselineError(f"{path}: no such directory", "name a baseline file")
    return locked(path.parent)


def _repaired(path: Path) -> Groups:
    text = read_text(path)
    if line := conflict_line(text):
        raise BaselineError(
            f"{path}:{line}: conflict markers, and git does not hold the file as unmerged",
            "restore both sides and merge them: harness baseline merge OURS THEIRS",
        )
    return parse_baselines(text, str(path), repair=True)


def _ancestor(text: str, where: str) -> Groups:
    return parse_baselines(text, where, repair=True) if text.strip() else ()
