"""A fault of the lab from its injection to the proof that nothing is left of it."""

import threading
from contextlib import suppress
from pathlib import Path

from harness.bounded import wait_until
from harness.errors import Gone, HarnessError, PlatformError
from harness.faults.model import OnLab
from harness.faults.registry import kind_of
from harness.platform.lab import namespace
from harness.platform.lab.control import request
from harness.platform.lab.injectors import (
    INJECTORS,
    ActiveFault,
    Packets,
    is_stopped,
    mutants,
    words,
)
from harness.platform.lab.messages import Faults, FaultStates, ReadRules, Runtime, Status
from harness.platform.lab.mutants import INERT_FAULT, INERT_HEAL, MUTANTS, RELAPSE, RELAPSE_S
from harness.platform.lab.packets import Rule
from harness.platform.lab.runtime import Running, find
from harness.platform.model import Injector, Proof
from harness.platform.undo import LabUndo, UndoRecord
from harness.units import counted

_ANSWERED = "fault.http."


def _of(heal: UndoRecord) -> tuple[Injector[ActiveFault], ActiveFault]:
    """The injector and what it did; raises Gone where the lab has ended."""
    kind = kind_of(heal.kind)
    if not isinstance(kind.lab, OnLab) or not isinstance(heal.undo, LabUndo):
        raise PlatformError(f"{heal.fault_id}: the lab has no {heal.kind}", "is it of a cluster?")
    lab = find(Path(heal.undo.runtime))
    given = kind.arguments.model_validate(dict(heal.arguments))
    fault = ActiveFault(lab, heal.fault_id, heal.kind, given, heal.targets, kind.lab)
    return INJECTORS[kind.lab.injector], fault


def inject(heal: UndoRecord) -> None:
    """Carry the fault out on exactly the targets that its heal names."""
    injector, fault = _of(heal)
    if INERT_FAULT in mutants(fault.lab) and not isinstance(injector, Packets):
        return
    injector.apply(fault)


def heal(heal: UndoRecord) -> None:
    """Undo, and return when it is undone; a lab that is gone has nothing to undo."""
    try:
        injector, fault = _of(heal)
        if INERT_HEAL in mutants(fault.lab):
            return
        injector.undo(fault)
        undone = wait_until(lambda: not injector.residual(fault), fault.patience_s)
        left = [] if undone else injector.residual(fault)
    except Gone:
        return
    if left:
        raise PlatformError(
            f"{heal.fault_id}: not undone: {'; '.join(left)}", "run `harness lab down`"
        )
    if RELAPSE in mutants(fault.lab):
        later = threading.Timer(RELAPSE_S, _relapse, (injector, fault))
        later.daemon = True
        later.start()


def _relapse(injector: Injector[ActiveFault], fault: ActiveFault) -> None:
    with suppress(HarnessError):  # the lab may have ended meanwhile
        injector.apply(fault)


def verify(heal: UndoRecord) -> Proof:
    """Whether any target of the fault shows it now, by looking."""
    try:
        injector, fault = _of(heal)
        return injector.verify(fault)
    except Gone:
        return Proof(in_effect=False, statement="the lab has ended")


def residual_faults(lab: Running) -> tuple[str, ...]:
    """What of any fault is in effect in a lab: the kernel's word where it has one."""
    isolated = lab.plan["isolated"]
    try:
        found = _asked(lab, request(lab.runtime, Faults()))
        rules = request(lab.runtime, ReadRules())["rules"] if isolated else []
        units = request(lab.runtime, Status())["units"]
    except Gone:
        return ()
    found += [words(Rule(*rule), count) for rule, count in rules]
    found += [f"{unit['id']} is held down" for unit in units if unit["held"]]
    if lab.network is not None and isolated:
        pids = namespace.members(lab.network)
        found += [f"process {pid} is stopped" for pid in pids if is_stopped(pid)]
    else:
        found += [f"{unit['id']} is paused" for unit in units if unit["health"] == "paused"]
    return tuple(f"{lab.runtime.name}: {each}" for each in found)


def _asked(lab: Running, known: FaultStates) -> list[str]:
    """What the supervisor and the edges show."""
    found = [
        f"{', '.join(ids)} behave as {fault} made them"
        for fault, ids in known["overlays"].items()
        if fault not in MUTANTS
    ]
    rolls = known["rollouts"].items()
    found += [f"{fault} restarts replicas" for fault, each in rolls if each["under_way"]]
    found += [
        f"{fault} keeps {counted(len(each['pids']), 'process', 'processes')} busy"
        for fault, each in known["burners"].items()
    ]
    edges = [each["id"] for each in lab.plan["places"] if each["kind"] == "edge"]
    for name, keys in request(lab.runtime, Runtime(edges)).items():
        set_keys = [key for key, value in (keys or {}).items() if key.startswith(_ANSWERED)]
        found += [f"{name} has {', '.join(set_keys)} set"] if set_keys else []
    return found
