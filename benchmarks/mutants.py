"""Edits the rules one at a time and runs the nearest tests: which edit does no test notice?

`python -m benchmarks.mutants harness/judge/objectives.py --tests tests/judge` edits every threshold
of the named files (doubled, halved) and a sample of comparisons, in a copy of the project. Each
edit first meets the test files that import its module, then the tests that are given. A survivor is
printed as `file:line  before -> after`; exit code 1 when there is one.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 300
SEED = 20_261_128
COPIED = ("harness", "tests", "benchmarks", "services", "scenarios", "experiments", "baselines",
          "docs", "deploy", "pyproject.toml", "README.md", "Makefile")  # fmt: skip
SWAPPED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
}  # fmt: skip
SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One edit of one line."""

    path: Path
    line: int
    before: str
    after: str


def thresholds(path: Path) -> Iterator[Mutant]:
    """Every module-level constant that is a number, doubled and halved."""
    source = path.read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        value = node.value if isinstance(node, ast.Assign) else None
        if not (isinstance(target, ast.Name) and target.id.isupper()):
            continue
        number = value.value if isinstance(value, ast.Constant) else None
        if value is None or isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        text = ast.get_source_segment(source, value) or ""
        for other in (number * 2, number // 2 if isinstance(number, int) else number / 2):
            if other != number:
                yield Mutant(path, value.lineno, text, repr(other))


def comparisons(path: Path) -> Iterator[Mutant]:
    """Every comparison of two values, with its sign moved by a hair or turned round."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if (
            not isinstance(node, ast.Compare)
            or len(node.ops) != 1
            or node.lineno != node.end_lineno
        ):
            continue
        sign, swapped = SIGNS.get(type(node.ops[0])), SWAPPED.get(type(node.ops[0]))
        text = ast.get_source_segment(source, node)
        if sign is not None and swapped is not None and text is not None and text.count(sign) == 1:
            yield Mutant(path, node.lineno, text, text.replace(sign, swapped))


def nearest(path: Path) -> list[str]:
    """The test files that import the module of a source file."""
    module = ".".join(path.with_suffix("").parts)
    package, _, name = module.rpartition(".")
    forms = (f"from {module} import", f"import {module}", f"from {package} import {name}")
    files = sorted(Path("tests").rglob("test_*.py"))
    return [str(file) for file in files if any(form in file.read_text("utf-8") for form in forms)]


def killed(mutant: Mutant, copy: Path, tests: list[str]) -> bool:
    """Whether the tests fail, or never end, with the edit in place."""
    near = nearest(mutant.path)
    return any(_noticed(mutant, copy, some) for some in (near, tests) if some)


def _noticed(mutant: Mutant, copy: Path, tests: list[str]) -> bool:
    path = copy / mutant.path
    whole = path.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    row = lines[mutant.line - 1]
    lines[mutant.line - 1] = row.replace(mutant.before, mutant.after, 1)
    path.write_text("".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider",
               "-m", "not lab and not docker and not kubernetes and not browser and not slow",
               *tests]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, timeout=TIMEOUT_S, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(whole, encoding="utf-8")
    return done.returncode != 0


def main() -> int:
    """Edit, run, and print what survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="sources to edit")
    parser.add_argument("--tests", nargs="+", default=[], help="tests for what the nearest miss")
    parser.add_argument("--sample", type=int, default=0, help="comparisons to edit (default: none)")
    arguments = parser.parse_args()
    mutants = [mutant for path in arguments.files for mutant in thresholds(path)]
    others = [mutant for path in arguments.files for mutant in comparisons(path)]
    random.Random(SEED).shuffle(others)
    mutants += others[: arguments.sample]
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in COPIED:
            source = Path(name)
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.is_file():
                shutil.copy(source, copy / name)
        survivors = 0
        for mutant in mutants:
            if not killed(mutant, copy, arguments.tests):
                survivors += 1
                print(f"{mutant.path}:{mutant.line}  {mutant.before} -> {mutant.after}", flush=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} edits were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
