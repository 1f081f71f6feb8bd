"""The modules of the engine's crate use each other in one direction only."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "engine" / "src"
MODULE = re.compile(r"^(?:pub )?mod (\w+);", re.MULTILINE)
FIRST = re.compile(r"(?:^|,)\s*(\w+)")
ROOT = "the root"


def uses(root: Path, prefix: str) -> dict[str, set[str]]:
    """Which modules of a root file each of them names, in its own file or in a file below."""
    modules = MODULE.findall(root.read_text(encoding="utf-8"))
    named = re.compile(rf"\b{prefix}::(?:\{{([^}}]*)\}}|(\w+))")
    found: dict[str, set[str]] = {}
    for module in modules:
        files = [root.parent / f"{module}.rs", *(root.parent / module).rglob("*.rs")]
        text = "".join(each.read_text(encoding="utf-8") for each in files if each.exists())
        names = {
            name
            for group, single in named.findall(text)
            for name in (FIRST.findall(group) if group else [single])
        }
        found[module] = {name if name in modules else ROOT for name in names} - {module}
    return found


def order(graph: dict[str, set[str]]) -> list[str]:
    """The modules, each after those that it uses; raises CycleError where that cannot be."""
    return list(TopologicalSorter(graph).static_order())


def test_no_module_of_the_engine_uses_one_that_uses_it() -> None:
    graph = uses(SOURCES / "lib.rs", "crate")
    assert len(graph) > 20
    assert sum(map(len, graph.values())) > len(graph)
    acyclic(graph)


def test_no_module_of_the_reference_service_uses_one_that_uses_it() -> None:
    """What starts them all is the root's; only Python's entries ask for it."""
    graph = uses(SOURCES / "reference" / "mod.rs", "super")
    assert len(graph) > 15
    assert [name for name, used in graph.items() if ROOT in used] == ["python"]
    acyclic(graph)


def acyclic(graph: dict[str, set[str]]) -> None:
    try:
        order(graph)
    except CycleError as error:
        pytest.fail(f"modules use each other: {' -> '.join(error.args[1])}")


def test_a_cycle_is_found_whichever_way_it_is_written(tmp_path: Path) -> None:
    files = {
        "lib.rs": "mod one;\npub mod two;\nmod three;\n",
        "one.rs": "use crate::{two, three::Part};\n",
        "two.rs": "mod part;\n",
        "two/part.rs": "fn part() { crate::one::whole() }\n",
        "three.rs": "",
    }
    (tmp_path / "two").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    graph = uses(tmp_path / "lib.rs", "crate")
    assert graph == {"one": {"two", "three"}, "two": {"one"}, "three": set()}
    with pytest.raises(CycleError):
        order(graph)
