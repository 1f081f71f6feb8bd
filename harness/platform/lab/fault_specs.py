"""Which faults the lab can carry out here."""

from harness.faults.model import Capability
from harness.faults.registry import arguments_of, kind_of, kinds
from harness.platform.lab import packets
from harness.platform.lab.namespace import Isolation
from harness.platform.lab.own import OwnProgram, missing_kinds
from harness.platform.model import Fault


def values_of(fault: Fault) -> dict[str, object]:
    """The fault's arguments with their defaults; raises PlatformError on what cannot be."""
    found = arguments_of(fault.kind, fault.arguments, "lab")
    return found.model_dump(mode="json", include=set(kind_of(fault.kind).takes("lab")))


def capabilities(
    within: Isolation, *, own_cores: bool, program: OwnProgram | None = None
) -> dict[str, str | None]:
    """Fault kind -> None, or why the lab cannot carry it out here, or on the user's program."""
    missing: dict[Capability | None, str | None] = {
        None: None,
        "network": None,
        "nftables": None,
        "own cores": None,
    }
    if within.missing is not None:
        alone = f"it needs a network namespace of its own: {within.missing}"
        missing |= {"network": alone, "nftables": alone}
    elif packets.means() != "nftables":
        missing["nftables"] = "it needs nftables; install the package nftables"
    if not own_cores:
        missing["own cores"] = (
            "the load generator shares its cores with the lab and would be slowed itself"
        )
    found = {
        name: kind.lab if isinstance(kind.lab, str) else missing[kind.lab.capability]
        for name, kind in kinds().items()
    }
    return found | (missing_kinds(program) if program is not None else {})
