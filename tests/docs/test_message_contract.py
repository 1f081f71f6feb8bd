"""docs/contracts.md and the types of the messages name the same fields."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from harness import messages
from harness.errors import HarnessError
from harness.messages import LoadMessage, SliceRow, fields_of, load_message

CONTRACTS = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
KINDS = {get_args(fields_of(kind)["type"])[0]: kind for kind in get_args(LoadMessage)}
TICK = {
    "type": "tick", "offered": 1, "completed": 1, "failed": 0, "unfinished": 0,
    "in_flight": 0, "lag_p99_ns": None, "cpu": 0, "cpu_process": 0.5,
}  # fmt: skip


def named(kind: str) -> list[set[str]]:
    """The fields that the page gives each time it shows a message of this type."""
    shown = re.findall(rf'\{{"type":"{kind}"[^`]*\}}', CONTRACTS)
    outer = [re.sub(r"\{[^{}]*\}\}$", "}", each) for each in shown]
    return [set(re.findall(r'[,{]"(\w+)"(?=[:,}])', each)) for each in outer]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_message_on_the_page_has_the_fields_of_its_type(kind: str) -> None:
    (fields, *_) = named(kind)
    assert fields == set(fields_of(KINDS[kind]))


def test_a_slice_on_the_page_has_the_fields_of_its_type() -> None:
    (text,) = re.findall(r'\{"schema": 1, "axis".*?\}\}', CONTRACTS, re.DOTALL)
    shown = json.loads(text.replace("…", ""))
    assert set(shown) == set(fields_of(SliceRow))


def test_a_message_of_its_type_is_taken() -> None:
    assert load_message(json.dumps(TICK)) == TICK
    assert load_message(json.dumps({**TICK, "line": 7}).encode())["type"] == "tick"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "no JSON"),
        ("[]", "of type None"),
        ('{"type": "done"}', "of type 'done'"),
        (json.dumps({**TICK, "offered": "many"}), "tick with offered 'many'"),
        (json.dumps({**TICK, "cpu": None}), "tick with cpu None"),
        (json.dumps({key: TICK[key] for key in TICK if key != "failed"}), "tick without failed"),
        ('{"type": "slice", "worker": 0, "seq": 1, "slice": []}', "slice with slice"),
    ],
)
def test_a_line_that_is_no_message_is_refused_by_its_field(line: str, says: str) -> None:
    with pytest.raises(HarnessError, match=re.escape(says)):
        load_message(line)


def test_every_message_is_documented() -> None:
    kinds = [each for each in vars(messages).values() if hasattr(each, "__required_keys__")]
    assert all(kind.__doc__ for kind in kinds)
