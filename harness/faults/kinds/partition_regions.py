"""Two regions are cut apart, established connections included."""

from harness.faults.arguments import Link
from harness.faults.model import FaultKind, OnKubernetes, OnLab

FAULT = FaultKind(
    arguments=Link,
    hits="link",
    lab=OnLab("packets", "network"),
    kubernetes=OnKubernetes(),
    needs_regions=True,
)
