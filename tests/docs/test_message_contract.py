"""docs/contracts.md and the types of the messages name the same fields."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from harness import messages
from harness.errors import HarnessError
from harness.events import ExperimentEvent, child_event
from harness.messages import LoadMessage, SliceRow, load_message
from harness.platform.lab import messages as lab
from harness.typed import fields_of, tag_of

CONTRACTS = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
KINDS = {tag_of(kind): kind for kind in get_args(LoadMessage)}
EVENTS = {tag_of(kind): kind for kind in get_args(ExperimentEvent)}
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


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_an_event_on_the_page_has_the_fields_of_its_type(kind: str) -> None:
    (shown,) = re.findall(rf'`\{{"type":"{kind}"[^`]*\}}`', CONTRACTS)
    on_the_way = {"t", "wall_ns", "monotonic_ns", "begin_ns", "end_ns"}
    fields = fields_of(EVENTS[kind]).keys() - on_the_way
    assert set(re.findall(r'[,{]"(\w+)"(?=[:,}])', shown)) == fields
    for field in fields & {"what", "stage", "connection"}:
        (values,) = re.findall(rf'"{field}":"([\w|]+)"', shown) or [""]
        _, hint = fields_of(EVENTS[kind])[field]
        assert set(values.split("|")) == set(get_args(hint)) or hint is str


def test_an_event_that_is_not_of_its_type_is_refused_by_its_field() -> None:
    proof = {"type": "proof", "fault_id": "f1", "in_effect": None, "statement": "unknown"}
    assert child_event(json.dumps(proof).encode()) == proof
    for line, says in (
        (b"{", "Expecting"),
        (b"[]", "an event of type None"),
        (b'{"type": "health", "id": "a", "now": null}', "an event of type 'health'"),
        (json.dumps({**proof, "in_effect": 1}).encode(), "the event proof with in_effect 1"),
        (b'{"type": "proof", "fault_id": "f1"}', "the event proof without in_effect"),
    ):
        with pytest.raises(ValueError, match=re.escape(says)):
            child_event(line)


def test_the_page_lists_the_requests_of_the_lab_with_their_fields_and_answers() -> None:
    rows = dict.fromkeys(lab.REQUESTS, "")
    for op, kind in lab.REQUESTS.items():
        (base,) = vars(kind)["__orig_bases__"]
        (answer,) = get_args(base)
        fields = ", ".join(f"`{name}`" for name in fields_of(kind) if name != "op")
        given = "for each edge its keys, or null"
        if answer != lab.RuntimeKeys:
            given = ", ".join(f"`{name}`" for name in fields_of(answer) if answer is not lab.Done)
        rows[op] = f"| `{op}` | {fields} | {given} |"
    (table,) = re.findall(r"\| `op` \|.*?\n\|---.*?\n(.*?)\n\n", CONTRACTS, re.DOTALL)
    assert table.splitlines() == list(rows.values())


def test_a_request_of_the_lab_comes_back_as_it_was_made() -> None:
    asked = lab.Roll("f1", ["a", "b"], {"error_ratio": 0.5}, 2.0)
    assert lab.request_of(lab.request_line(asked)) == asked


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": 2}, "without schema 1"),
        ({"op": "explode"}, "unknown request 'explode'"),
        ({"ids": "a"}, "request 'kill' with ids 'a'"),
        ({"ids": ["a", 1]}, "request 'kill' with ids.1 1"),
        ({"hold": 1}, "request 'kill' with hold 1"),
        ({"harm": True}, "request 'kill' with harm"),
    ],
)
def test_a_request_that_is_not_of_its_type_is_refused(change: dict[str, object], says: str) -> None:
    request = {"schema": 1, "op": "kill", "ids": ["a"], "hold": False, **change}
    with pytest.raises(ValueError, match=re.escape(says)):
        lab.request_of(json.dumps(request).encode())


def test_an_answer_of_the_lab_is_checked_as_deep_as_it_goes() -> None:
    unit = {
        "id": "a", "health": "ready", "pid": 1, "restarts": 0, "last_exit": None, "held": False,
        "killed_ago_s": 2,
    }  # fmt: skip
    good = json.dumps({"units": [unit]}).encode()
    assert lab.answer_of(good, lab.Status())["units"] == [unit]
    for field, value, says in (
        ("health", "well", "units.0.health 'well'"),
        ("pid", "1", "units.0.pid '1'"),
        ("held", None, "units.0.held None"),
    ):
        bad = json.dumps({"units": [{**unit, field: value}]}).encode()
        with pytest.raises(ValueError, match=re.escape(f"an answer with {says}")):
            lab.answer_of(bad, lab.Status())
    with pytest.raises(ValueError, match="no such lab"):
        lab.answer_of(b'{"error": "no such lab"}', lab.Status())
    with pytest.raises(ValueError, match=re.escape("with reached.0 1")):
        lab.answer_of(b'{"reached": [1]}', lab.Reach([("127.0.0.1", "127.0.0.2", 80)]))
