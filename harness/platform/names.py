"""What each platform is, by its name alone: nothing of it is imported."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traits:
    """What the rest of the harness must know of a platform that it only has the name of.

    `disposable`: a run starts a deployment of its own on this machine, which it may shape and
    break unasked. `in_cluster`: a service is found there by namespace, context and kubeconfig.
    """

    disposable: bool = False
    in_cluster: bool = False


PLATFORMS: Mapping[str, Traits] = {
    "lab": Traits(disposable=True),
    "kubernetes": Traits(in_cluster=True),
    "url": Traits(),
}


def traits_of(name: object) -> Traits:
    """Those of a platform; one that is not known has none."""
    return PLATFORMS.get(str(name), Traits())
