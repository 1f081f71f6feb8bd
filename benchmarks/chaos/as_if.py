"""An agent of a small cluster: it notes what it would do to its node, and does nothing else.

What it does by the API server it does: it reads its lease, answers in it, and puts changes back.
Run as `python -m benchmarks.chaos.as_if DIRECTORY STALE_S`, with AGENT_PLAN in its environment.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from harness.platform.kubernetes import agent, agent_tasks
from harness.platform.kubernetes.actions import Action
from harness.platform.undo import PutBack

NOTE = "holds-"


def noting(directory: Path, plan: agent_tasks.Plan) -> Action:
    """The action of a plan; one on its node is a file that says that it holds."""
    if isinstance(plan.task, PutBack):
        return agent_tasks.action_of(plan)
    note = directory / f"{NOTE}{plan.lease}-{plan.node}"
    return Action(
        do=note.touch,
        undo=lambda: note.unlink(missing_ok=True),
        shows=lambda: (note.exists(), f"{plan.task.action} is {'' if note.exists() else 'not '}on"),
    )


def main(directory: str, stale_s: str) -> int:
    """The agent, with the account in `directory`."""
    place = Path(directory)
    vars(agent_tasks).update(SERVICE_ACCOUNT=place)
    vars(agent).update(
        AGENT_UID=os.getuid(),
        STALE_S=float(stale_s),
        watch_parent=lambda undo: None,  # nothing on a node needs undoing
        action_of=lambda plan: noting(place, plan),
    )
    return agent.main()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main(*sys.argv[1:3]))
