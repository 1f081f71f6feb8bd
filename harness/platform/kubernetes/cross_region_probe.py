"""A way across a cut between two regions: a relay on a node of one asks a pod of the other."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from harness.errors import PlatformError
from harness.platform.kubernetes.agent_pods import Work
from harness.platform.kubernetes.agent_pool import AgentPool
from harness.platform.kubernetes.cluster import base_url
from harness.platform.kubernetes.relay import PORT
from harness.platform.undo import CROSSING, ClusterUndo, RelayTo, UndoRecord, lease_name


@contextmanager
def relay(
    agents: AgentPool, say: Callable[[str], None], service: str, ends: str, node: str, task: RelayTo
) -> Iterator[str | None]:
    """The URL at which a relay on `node` is asked; None, and why to `say`, where it cannot start.

    It has a lease, as a fault has: it ends with this process, and is reaped as one.
    """
    name = f"{CROSSING}-{time.time_ns():x}"
    undo = ClusterUndo(service, lease_name(name), {node: task})
    record = UndoRecord(name, CROSSING, targets=(ends,), undo=undo)
    work = Work(node, task)
    url: str | None = None

    def close() -> None:
        try:
            agents.release(undo.lease, [work])
        except PlatformError as problem:
            say(f"{problem}; it ends by itself")

    with ExitStack() as opened:
        opened.callback(close)
        try:
            agents.prepare(undo.lease, [work], record)
            agents.hold(undo.lease, [node])
            url = base_url(agents.address(undo.lease, node), PORT)
        except PlatformError as problem:
            opened.close()
            say(f"no entry point of the canary across {ends}: {problem}")
        yield url
