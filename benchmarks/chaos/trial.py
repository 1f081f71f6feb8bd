"""One experiment on what is there already, its stages cut to seconds: something to kill.

`python -m benchmarks.chaos.trial HANDLE EXPERIMENT RESULTS` is what `harness experiment run` does
from the reaping of old faults to the record, in the same processes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from harness.catalog import load_catalog, project_root
from harness.chaos import run as chaos_run
from harness.chaos import session as chaos_session
from harness.chaos.experiment import load_experiment, shortened
from harness.chaos.plan import plan_experiment
from harness.chaos.undo import reap
from harness.platform.registry import attach
from harness.session.options import RunOptions
from harness.session.run import Session
from harness.traffic.scenario import load_model

RATE = 60.0
HOLD_S = 1.5


def main(handle: str, name: str, results: str) -> int:
    """Run the experiment; 0 when it came to its end, whatever its verdict would be."""
    vars(chaos_run).update(WARMUP_S=0.5, SETTLE_S=0.2)
    vars(chaos_session).update(WARMUP_S=0.5, SLACK_S=0.5)
    root = project_root()
    service = load_catalog(root / "services").service("memorai")
    platform = attach(json.loads(handle))
    plain = load_experiment(name, root, {}, platform.name)
    holds = {key: HOLD_S for key in plain.document["configuration"] or () if key == "hold_s"}
    experiment = shortened(load_experiment(name, root, holds, platform.name), 1.0, 1.0)
    experiment = replace(experiment, load=replace(experiment.load, rate=RATE, spike=None))
    options = RunOptions(service.name, through="global")
    target = platform.target(service, "global", None)
    model = load_model(service, None, root)
    ready = Session(options, service, model, platform, target, root, Path(results))
    with platform.exclusive():
        reap((platform,))
        plan = plan_experiment(experiment, service, platform)
        print("running", flush=True)
        chaos_run.ExperimentRun(ready, experiment).run(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
