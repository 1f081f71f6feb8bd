"""Where a run takes place: the platform that its options name, and whether it may be touched."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.catalog import load_catalog, project_root
from harness.catalog.model import Environment, Service
from harness.catalog.pod_settings import pod_settings
from harness.errors import UsageError
from harness.guard import Address, check_place
from harness.platform.connection import refuse_beside
from harness.platform.lab.options import REGIONS, Behaviour, LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Platform
from harness.platform.names import traits_of
from harness.platform.registry import make_platform
from harness.platform.url import Url
from harness.session.options import RunOptions, Say
from harness.session.own import Own, find_own, own_lab
from harness.traffic.model import TrafficModel

USUAL_BEHAVIOUR: Mapping[str, Mapping[str, Any]] = {
    "gate": {"latency_median_s": 0.02, "latency_p99_s": 0.06}
}
"""profile -> how the lab's reference service answers unless --behaviour says otherwise.

As fast as it can, it answers within a millisecond, and the scheduler's noise is larger than any
change a gate is asked about; a service that talks to a database takes tens of them.
"""


TAKEN_BY: Mapping[str, tuple[str, ...]] = {
    "behaviour": ("the lab",),
    "replicas": ("the lab",),
    "region": ("the lab", "a cluster"),
    "through": ("the lab", "a cluster"),
    "namespace": ("a cluster",),
    "context": ("a cluster",),
    "kubeconfig": ("a cluster",),
    "pods": ("a cluster",),
}
"""Options that do not mean something everywhere: where they do."""


def own_of(options: RunOptions) -> Own | None:
    """The user's program that is meant, where the lab is."""
    if not options.disposable or "://" in options.service:
        return None
    return find_own(options.service)


def make_named_platform(options: RunOptions, service: Service, say: Say) -> Platform:
    """The platform that was named: a URL, an environment of the catalogue, a cluster or the lab.

    Raises UsageError for a place that is not to be touched, and for options without meaning there.
    """
    if traits_of(options.platform).in_cluster:
        return _cluster(options, service, say)
    url = options.target
    if options.environment is not None:
        if url is not None:
            raise UsageError("--target and --environment exclude each other", "name one of them")
        url = _environment(options.environment, service).base_url
    if url is not None:
        _refuse_ignored(options, "a URL")
        guard(options, service, url)
        refuse_beside(options.connect, url)
        return make_platform("url", url=url, connect=options.connect, progress=say)
    refuse_beside(options.connect, None)
    _refuse_ignored(options, "the lab")
    if (own := own_of(options)) is not None:
        needs = {"regions": _regions(options), **options.lab}
        return own_lab(own, options.replicas, options.behaviour, needs, say)
    usual = {
        "regions": _regions(options),
        "replicas": options.replicas,
        "edges": options.through != "service",
        "behaviour": Behaviour.parse(_behaviour(options)),
    }
    lab = LabOptions(**(usual | dict(options.lab)))
    return make_platform(options.platform, options=lab, progress=say)


def beside(
    options: RunOptions, platform: Platform, traffic: TrafficModel, root: Path
) -> tuple[Service, ...]:
    """The other services that the journeys ask; the lab starts them with the service.

    Raises UsageError for a place where they are not known, CatalogError for one that is none.
    """
    if not traffic.across:
        return ()
    catalog = load_catalog(root / "services")
    others = tuple(catalog.service(name) for name in traffic.across)
    if isinstance(platform, Lab):
        platform.beside = others
    elif options.environment is None:
        raise UsageError(
            f"{traffic.source} asks {', '.join(traffic.across)} as well",
            "name an --environment of the catalogue, or take the lab",
        )
    else:
        for each in others:
            guard(options, each, _environment(options.environment, each).base_url)
    return others


def url_of(options: RunOptions, platform: Platform, service: Service) -> str:
    """Where another service is that the journeys ask."""
    if options.environment is not None:
        return _environment(options.environment, service).base_url
    return platform.target(service, options.through, options.region).urls[0]


def _cluster(options: RunOptions, service: Service, say: Say) -> Platform:
    """The namespace that was named, or that of the named environment, of a cluster."""
    from harness.platform.kubernetes.access import context_names  # noqa: PLC0415 - slow

    _refuse_ignored(options, "a cluster")
    refuse_beside(options.connect, options.target)
    namespace = options.namespace
    if options.environment is not None:
        if namespace is not None:
            raise UsageError("--namespace and --environment exclude each other", "name one of them")
        namespace = _environment(options.environment, service).namespace
    if namespace is None:
        raise UsageError("no namespace was named", "add --namespace, e.g. codai-staging")
    names = (namespace, *context_names(options.context, options.kubeconfig))
    guard(options, service, options.target, names)
    where = {
        "namespace": namespace,
        "context": options.context,
        "kubeconfig": str(options.kubeconfig) if options.kubeconfig else None,
        "url": options.target,
        "pods": pod_settings(options.pods, (service,), namespace),
    }
    return make_platform(options.platform, where=where, progress=say)


def guard(
    options: RunOptions, service: Service, url: str | None, names: Sequence[str | None] = ()
) -> None:
    """Raise UsageError where these are not to be touched (see `harness.guard.check_place`).

    Connections may lead elsewhere than the URL says: to an address or a proxy that an option names.
    """
    catalog = project_root() / "services"  # a small project has none
    known = load_catalog(catalog).services() if catalog.is_dir() else ()
    check_place(
        [service, *known],
        urls=(*(() if url is None else (Url(url).url,)), *_elsewhere(options.connect)),
        names=names,
        production=options.production,
        allowed=options.allow_targets,
    )


def _elsewhere(connect: Mapping[str, Any]) -> Iterator[str]:
    """Where --resolve and --proxy connect to. What is no place is left: the engine refuses it."""
    found = [*map(_pinned, connect.get("resolve", ())), connect.get("proxy", "")]
    for url in found:
        with contextlib.suppress(ValueError):
            if Address.of(url).host:
                yield url


def _pinned(text: str) -> str:
    """The URL of the address in HOST:PORT:ADDRESS."""
    port, _, address = text.partition(":")[2].partition(":")
    bare = address.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def _refuse_ignored(options: RunOptions, place: str) -> None:
    usual = RunOptions(options.service)
    for name, places in TAKEN_BY.items():
        if place not in places and getattr(options, name) != getattr(usual, name):
            raise UsageError(
                f"--{name} is for {' and '.join(places)}, not for {place}", "leave it out"
            )


def _behaviour(options: RunOptions) -> dict[str, object]:
    """What was asked over what is usual; a run of another seed draws other delays too."""
    seed = {} if options.seed is None else {"seed": options.seed}
    return {**USUAL_BEHAVIOUR.get(options.profile, {}), **seed, **options.behaviour}


def _regions(options: RunOptions) -> int:
    """Regions that the run needs, all for the global entry point; UsageError for an unknown one."""
    if options.region is not None and options.region not in REGIONS:
        raise UsageError(
            f"the lab has no region {options.region!r}", f"it can have {', '.join(REGIONS)}"
        )
    if options.through == "global":
        return len(REGIONS)
    return 1 if options.region is None else REGIONS.index(options.region) + 1


def _environment(name: str, service: Service) -> Environment:
    for environment in service.environments:
        if environment.name == name:
            return environment
    known = ", ".join(environment.name for environment in service.environments)
    raise UsageError(f"{service.name} has no environment {name!r}", f"it has {known}")
