"""Files that commands read: sound ones, broken ones, and ones with one value replaced."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from hypothesis import strategies as st

Form = Literal["json", "lines", "yaml", "text"]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**5000),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "a" * 300, "\x1b[31m", "\x00", "../../x", "<b>", "2020-02-31", "\udcff"]),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.text(max_size=5), SCALARS, max_size=3),
)


@dataclass(frozen=True, slots=True)
class File:
    """A file of the project: how it is written, which commands read it, and their exit codes.

    `empty` says whether an empty one is sound, `optional` whether the commands do without it.
    """

    path: str
    form: Form
    commands: tuple[str, ...]
    codes: frozenset[int] = frozenset({0})
    empty: bool = False
    optional: bool = False


JUDGED = frozenset({0, 1, 3, 4})
RUN = "results/memorai/{run}"
FILES = (
    File("services/memorai.yaml", "yaml", ("services memorai", "perf memorai --quiet")),
    File("experiments/kill-replica.yaml", "yaml",
         ("experiment show kill-replica", "experiment plan kill-replica")),
    File("harness.yaml", "yaml", ("perf --quiet",)),
    File("earlier.json", "json", ("capacity memorai --compare earlier.json",)),
    File("instants.txt", "text", ("perf memorai --quiet --profile replay:instants.txt",)),
    File("runs.csv", "text", ("stats compare --baseline runs.csv --candidate runs.csv",)),
    File("series.csv", "text", ("stats changepoints series.csv",)),
    File("recovery.csv", "text", ("stats recovery recovery.csv --inject 15",)),
    File("requests.sh", "text", ("import curl requests.sh --output {fresh}.py",)),
    File("requests.har", "json", ("import har requests.har --output {fresh}.py",)),
    File("openapi.yaml", "yaml", ("import openapi openapi.yaml --output {fresh}.py",)),
    File("access.log", "text", ("import log access.log --output {fresh}.py",)),
    File("kubeconfig", "yaml",
         ("reap --platform kubernetes --namespace x --kubeconfig kubeconfig",), frozenset({2})),
    File(f"{RUN}/run.json", "json",
         ("show {run}", "runs", "export {run}", "judge {run}"), JUDGED),
    File(f"{RUN}/slices.jsonl", "lines", ("show {run}", "export {run}", "judge {run}"), JUDGED),
    File(f"{RUN}/events.jsonl", "lines", ("show {run}", "judge {run}"), JUDGED, empty=True),
    File(f"{RUN}/verdict.json", "json", ("show {run}", "export {run}"), JUDGED,
         optional=True),
    File("baselines/memorai/{scenario}.json", "json",
         ("baseline list", "baseline show memorai", "gate memorai {run}"),
         JUDGED | {5}, optional=True),
)  # fmt: skip

Break = Callable[[Path], object]


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _cut(path: Path) -> None:
    text = path.read_bytes()
    path.write_bytes(text[: text.rindex(b"}")])


BREAKS: dict[str, Break] = {
    "missing": Path.unlink,
    "a directory": _directory,
    "a FIFO": _fifo,
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00\x9d" + path.read_bytes()),
    "endless": _endless,
}
"""What no command takes for a file of any form."""

OF_STRUCTURE: dict[str, Break] = {
    "empty": lambda path: path.write_bytes(b""),
    "nested": lambda path: path.write_text("[" * 100_000),
    "a list": lambda path: path.write_text("[1, 2]"),
    "a long number": lambda path: path.write_text("9" * 5_000),
}
OF_JSON: dict[str, Break] = {
    "cut": _cut,
    "not JSON": lambda path: path.write_text("{'a': 1}"),
}


def breaks(file: File) -> dict[str, Break]:
    """What makes this file one that must be refused."""
    found = dict(BREAKS)
    if file.form in {"json", "yaml"}:  # a last line that is none is what a killed writer leaves
        found |= OF_STRUCTURE
    if file.form == "json":
        found |= OF_JSON
    sound = {"empty"} if file.empty else set()
    if file.empty or file.optional:
        sound |= {"missing", "a directory", "a FIFO", "endless"}  # no file of that name
    return {name: each for name, each in found.items() if name not in sound}


def rewrite(path: Path, form: Form, choose: random.Random) -> None:
    """The same content in another order and layout."""
    if form == "json":
        path.write_text(json.dumps(_shuffled(json.loads(path.read_text()), choose), indent=3))
    elif form == "yaml":
        documents = list(yaml.load_all(path.read_text(), yaml.CSafeLoader))
        path.write_text(
            yaml.safe_dump_all([_shuffled(each, choose) for each in documents], sort_keys=False)
        )


def _shuffled(tree: Any, choose: random.Random) -> Any:
    if isinstance(tree, dict):
        keys = list(tree)
        choose.shuffle(keys)
        return {key: _shuffled(tree[key], choose) for key in keys}
    return [_shuffled(each, choose) for each in tree] if isinstance(tree, list) else tree


def replace_value(path: Path, form: Form, choose: random.Random, value: Any) -> None:
    """Put the value in place of one that is somewhere in the file."""
    if form == "text":
        lines = path.read_text().splitlines()
        at = choose.randrange(len(lines))
        cells = lines[at].split(",")
        cells[choose.randrange(len(cells))] = _text(value)
        lines[at] = ",".join(cells)
    elif form == "yaml":
        documents = list(yaml.load_all(path.read_text(), yaml.CSafeLoader))
        at = choose.randrange(len(documents))
        documents[at] = _changed(documents[at], choose, value)
        lines = [_text(each) for each in documents]  # JSON is YAML
        lines = [part for each in lines for part in ("---", each)]
    else:
        lines = path.read_text().splitlines() if form == "lines" else [path.read_text()]
        at = choose.randrange(len(lines))
        lines[at] = _text(_changed(json.loads(lines[at]), choose, value))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")


def _changed(tree: Any, choose: random.Random, value: Any) -> Any:
    tree = copy.deepcopy(tree)
    at, inner = tree, tree
    key: Any = None
    while isinstance(inner, (dict, list)) and inner and (key is None or choose.random() < 0.7):
        at = inner
        key = choose.choice(list(at)) if isinstance(at, dict) else choose.randrange(len(at))
        inner = at[key]
    if key is None:
        return value
    at[key] = value
    return tree


def _text(tree: Any) -> str:
    """As JSON, with integers of any length."""
    return json.dumps(_marked(tree), default=str).replace('"HUGE"', "9" * 5_000)


def _marked(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _marked(each) for key, each in tree.items()}
    if isinstance(tree, list):
        return [_marked(each) for each in tree]
    return "HUGE" if isinstance(tree, int) and abs(tree) >= 10**4000 else tree
