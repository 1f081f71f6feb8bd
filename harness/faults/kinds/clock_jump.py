"""The wall clock of replicas jumps."""

from harness.faults.model import Arguments, FaultKind

FAULT = FaultKind(
    arguments=Arguments,
    hits="replica",
    lab=(
        "Linux has no namespace for the wall clock: to move a replica's would move the host's, "
        "beyond the lab"
    ),
    kubernetes="Linux has no namespace for the wall clock",
)
