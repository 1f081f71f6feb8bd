"""A session whose load runs in the cluster, beside the service it drives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog import load_catalog, project_root
from harness.catalog.model import Service
from harness.catalog.pod_settings import pod_settings
from harness.load.driver import LoadDriver, LoadProcess
from harness.load.kubernetes.driver import LoadJobs
from harness.load.kubernetes.manifests import check_files
from harness.load.kubernetes.options import JobOptions
from harness.load.plan import LoadPlan, check_target
from harness.platform.connection import refuse_beside
from harness.platform.kubernetes.access import check_context, context_names
from harness.platform.kubernetes.cluster import Cluster, check_namespace
from harness.platform.model import Target
from harness.platform.url import Url
from harness.session.options import RunOptions, make_profile
from harness.session.place import guard
from harness.session.run import Session, prepared, results_of
from harness.traffic.scenario import load_model

if TYPE_CHECKING:
    from kubernetes import client


@dataclass(frozen=True, slots=True)
class LoadLocation:
    """Which cluster, where in it the service is, and how the load Jobs run there.

    `jobs` None: the load comes from this machine.
    """

    namespace: str
    jobs: JobOptions | None
    context: str | None = None
    kubeconfig: Path | None = None
    pods: Path | None = None
    """What is set of the load pods, instead of what the catalogue says."""

    @property
    def names(self) -> tuple[str | None, ...]:
        """What it is called: namespaces, the context and its cluster."""
        jobs = self.jobs.namespace if self.jobs else None
        return (self.namespace, jobs, *context_names(self.context, self.kubeconfig))


class _Named(Url):
    """The service's address in a cluster; what is behind it is read, not touched."""

    name = "kubernetes"


@contextmanager
def cluster_session(
    options: RunOptions, place: LoadLocation, say: Callable[[str], None] = lambda text: None
) -> Iterator[tuple[Session, client.ApiClient]]:
    """Resolve and check everything before the first run creates anything; raises HarnessError."""
    root = project_root()
    service = load_catalog(root / "services").service(options.service)
    check_namespace(place.namespace)
    guard(options, service, options.target, place.names)
    refuse_beside(options.connect, options.target)
    if place.jobs is not None:
        check_files(options.connect)
    make_profile(options)
    traffic = load_model(service, options.scenario, root)
    options, service, traffic = prepared(options, service, traffic)
    results = results_of(options, root)
    cluster = Cluster(
        place.namespace, place.context, str(place.kubeconfig) if place.kubeconfig else None
    )
    api = cluster.api
    try:
        check_context(api, place.namespace)
        target = service_target(cluster, service, place, options.target)
        target = replace(target, **options.connect)
        check_target(target, traffic)
        platform = _Named(target.urls[0])
        load: Callable[[LoadPlan, Mapping[str, str]], LoadDriver] = LoadProcess
        if place.jobs is not None:
            pods = pod_settings(place.pods, (service,), place.namespace)
            jobs = replace(place.jobs, pods=pods)
            load = functools.partial(LoadJobs, api=api, options=jobs, say=say)
        yield Session(options, service, traffic, platform, target, root, results, load), api
    finally:
        api.close()


def service_target(
    cluster: Cluster, service: Service, place: LoadLocation, url: str | None = None
) -> Target:
    """The Service that bears the catalogue's name, at its cluster address, or the URL given.

    Not `Kubernetes.target`: that describes the nodes, which an account of load Jobs may not read.
    """
    load = "this machine" if place.jobs is None else f"Jobs in {place.jobs.namespace}"
    where: dict[str, object] = {
        "platform": "kubernetes",
        "namespace": place.namespace,
        "context": place.context,
        "load": load,
    }
    if url is None:
        address = cluster.address(service)
        host = address.removeprefix("http://")
        what = f"Service {place.namespace}/{service.name} at {host}"
    else:
        address = Url(url).url
        what = f"{url} (as named)"
    return Target(
        service.name, (address,), "service", f"{what}, load from {load}", environment=where
    )
