"""The modules of the engine's crate use each other in one direction only."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "engine" / "src"
MODULE = re.compile(r"^(?:pub )?mod (\w+);", re.MULTILINE)
NAMED = re.compile(r"\bcrate::(?:\{([^}]*)\}|(\w+))")
FIRST = re.compile(r"(?:^|,)\s*(\w+)")


def uses(folder: Path) -> dict[str, set[str]]:
    """Which modules of the crate's root each of them names, in its own file or in a file below."""
    modules = MODULE.findall((folder / "lib.rs").read_text(encoding="utf-8"))
    found: dict[str, set[str]] = {}
    for module in modules:
        files = [folder / f"{module}.rs", *(folder / module).rglob("*.rs")]
        text = "".join(each.read_text(encoding="utf-8") for each in files if each.exists())
        named = {
            name
            for group, single in NAMED.findall(text)
            for name in (FIRST.findall(group) if group else [single])
        }
        found[module] = named & set(modules) - {module}
    return found


def order(graph: dict[str, set[str]]) -> list[str]:
    """The modules, each after those that it uses; raises CycleError where that cannot be."""
    return list(TopologicalSorter(graph).static_order())


def test_no_module_of_the_engine_uses_one_that_uses_it() -> None:
    graph = uses(SOURCES)
    assert len(graph) > 20
    assert sum(map(len, graph.values())) > len(graph)
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
    assert uses(tmp_path) == {"one": {"two", "three"}, "two": {"one"}, "three": set()}
    with pytest.raises(CycleError):
        order(uses(tmp_path))
