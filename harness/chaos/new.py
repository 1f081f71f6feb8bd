"""A first version of an experiment's file, to be edited."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from harness.chaos.experiment import load_experiment
from harness.errors import ExperimentError
from harness.faults.registry import arguments_of
from harness.storage import write_atomic

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")

_TEMPLATE = Template("""\
title: $title
description: What $fault does to the users of the service.
configuration:
  hold_s: $hold
extensions:
  - name: harness
    teaches: What this shows, and what a team learns from it.
    incident: Which incident in production it stands for.
    load: {rate: 200, through: global}
    # A plan that would hit more of the ready replicas is refused.
    blast_radius: {share: 0.5}
    # At least 10 s before: the range before the fault is estimated from it.
    timeline: {before_s: 11, after_s: 14}
    # Add error_budget, fail_back_s, lost_writes or impact as needed: docs/gameday.md.
    expect: {recovery_s: 8, error_ratio: 0.05}
steady-state-hypothesis:
  title: The service answers
  probes:
    - type: probe
      name: the service answers
      tolerance: true
      provider:
        {type: python, module: harness.chaos.probes, func: answers, arguments: {through: global}}
method:
  - type: action
    name: $fault
    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: $arguments
    # How long the fault holds.
    pauses: {after: "$${hold_s}"}
  - type: action
    name: heal
    provider: {type: python, module: harness.chaos.actions, func: heal}
    pauses: {after: 5}
rollbacks:
  - type: action
    name: heal what is left
    provider: {type: python, module: harness.chaos.actions, func: heal}
""")


def new_experiment(
    name: str, root: Path, fault: str, arguments: Mapping[str, object], hold_s: float
) -> Path:
    """Write `experiments/NAME.yaml` for one kind of fault; returns its path.

    Raises PlatformError for a fault or an argument that is not known, ExperimentError for a name
    that is none or is taken, and where the file made of them is none; nothing is left then.
    """
    if _NAME.fullmatch(name) is None:
        raise ExperimentError(
            f"{name!r} is no name of an experiment", "use small letters, digits and hyphens"
        )
    arguments_of(fault, arguments)
    path = root / "experiments" / f"{name}.yaml"
    if path.exists():
        raise ExperimentError(f"{path} exists", "give another name, or edit it")
    text = _TEMPLATE.substitute(
        title=name.replace("-", " ").capitalize(),
        fault=fault,
        hold=f"{hold_s:g}",
        arguments=json.dumps({"fault": fault, **arguments}),
    )
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, text)
    try:
        load_experiment(str(path), root)
    except BaseException:  # Ctrl-C as well
        path.unlink()
        raise
    return path
