"""An undo record is typed, bound to its fault, and read in both of its schemas."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import get_args

import pytest

from harness.platform.undo import (
    Burn,
    ClusterUndo,
    Cordon,
    CutBetween,
    LabUndo,
    PutBack,
    Scaling,
    Task,
    UndoRecord,
    task_of,
    undo_record,
)

CLUSTER = ClusterUndo("memorai", "harness-f-1", {"n1": CutBetween(["a"], ["b"], 0.5)})
CHANGED = ClusterUndo("memorai", "harness-f-1", {}, Cordon("n1", was=False, evict={"p": "u"}))
RECORDS = (
    UndoRecord("f-1", "kill-replicas", {"count": 1}, ("m-0",), LabUndo("/run/lab-1")),
    UndoRecord("f-1", "lose-packets", {"share": 0.5}, ("a|b",), CLUSTER, ("x is not kept",)),
    UndoRecord("f-1", "drain-node", {}, ("n1", "p"), CHANGED),
)


def stored(record: UndoRecord) -> dict[str, object]:
    """The record after its way through JSON."""
    found: dict[str, object] = json.loads(json.dumps(asdict(record)))
    return found


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_a_record_comes_back_from_json_as_it_was(record: UndoRecord) -> None:
    assert undo_record(stored(record)) == record


def test_a_record_of_the_first_schema_is_read() -> None:
    """A killed harness of an older version may have written it."""
    lab = {"share": 1.0, "edge": None, "runtime": "/run/lab-1", "targets": ["m-0"]}
    found = undo_record({"fault_id": "f", "kind": "reset-connections", "arguments": lab})
    assert found.undo == LabUndo("/run/lab-1")
    assert (found.targets, found.arguments) == (("m-0",), {"share": 1.0, "edge": None})
    work = {"node": "n1", "action": "burn", "arguments": {"workers": 2}, "account": "x"}
    back = {"node": "api", "action": "put-back", "arguments": {"patch": {}}, "account": "y"}
    cluster = {
        "replicas": 5,
        "service": "memorai",
        "targets": ["memorai"],
        "works": [work, back],
        "change": {"scale": 5, "was": 2},
        "undo": {"patch": {"spec": {"taints": []}}},
        "lease": "harness-scale-1",
        "notes": [],
    }
    found = undo_record({"fault_id": "scale-1", "kind": "scale", "arguments": cluster})
    assert found.undo == ClusterUndo(
        "memorai", "harness-scale-1", {"n1": Burn(workers=2)}, Scaling(5, 2)
    )
    assert found.arguments == {"replicas": 5}


def test_a_crossing_of_the_first_schema_is_read() -> None:
    work = {"node": "n1", "action": "relay", "arguments": {"host": "10.0.0.1", "port": 80}}
    held = {"works": [work], "change": {}, "targets": ["a|b"], "lease": "harness-crossing-1"}
    found = undo_record({"fault_id": "harness-crossing-1", "kind": "crossing", "arguments": held})
    assert isinstance(found.undo, ClusterUndo)
    assert found.undo.lease == "harness-crossing-1"


@pytest.mark.parametrize(
    "forged",
    [
        {"undo": {"platform": "kubernetes"}},
        {"undo": {**asdict(CLUSTER), "agents": {"n1": {"action": "run", "command": "sh"}}}},
        {"undo": {**asdict(CLUSTER), "agents": {"n1": {"action": "burn", "account": "ci"}}}},
        {"undo": {**asdict(CLUSTER), "agents": {"n1": asdict(PutBack("node", "n", "m", {}, {}))}}},
        {"undo": {**asdict(CLUSTER), "lease": "memorai-config"}},
        {"undo": {**asdict(CHANGED), "change": {"taint": "n1"}}},
        {"undo": {**asdict(CHANGED), "change": {**asdict(Scaling(5, 2)), "patch": {}}}},
        {"undo": {**asdict(CHANGED), "image": "x"}},
        {"schema": 3},
        {"more": 1},
        {"targets": 7},
        {"kind": None},
    ],
    ids=str,
)
def test_what_the_harness_cannot_have_written_is_refused(forged: dict[str, object]) -> None:
    """No action that is not in the union, no field that it has not, no lease of another fault."""
    assert undo_record(stored(RECORDS[1])) == RECORDS[1]
    with pytest.raises(ValueError, match=r"."):
        undo_record({**stored(RECORDS[1]), **forged})


@pytest.mark.parametrize("text", ["null", "[]", "7", '{"arguments": []}', '{"arguments": {}}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        undo_record(json.loads(text))


def test_each_task_of_an_agent_has_a_name_of_its_own() -> None:
    tasks = [kind.__dataclass_fields__["action"].default for kind in get_args(Task)]
    assert len(set(tasks)) == len(tasks)
    assert task_of({"action": "burn", "workers": 2}) == Burn(workers=2)
    with pytest.raises(ValueError, match="unknown action 'run'"):
        task_of({"action": "run"})
    with pytest.raises(ValueError, match=r"burn: .*unexpected keyword"):
        task_of({"action": "burn", "cores": 2})
