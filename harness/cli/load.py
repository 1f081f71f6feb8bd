"""`harness load SERVICE`: one run whose load comes from Jobs in the cluster."""

from typing import Any

import click

from harness.cli.connection_options import connection_options
from harness.cli.options import (
    ALLOW_TARGET,
    CONTEXT,
    DURATION,
    DURATION_OPTION,
    EARLY_END_OPTION,
    KUBECONFIG,
    MAX_IN_FLIGHT,
    PODS,
    PRODUCTION,
    PROFILE,
    RATE_OPTION,
    RESULTS,
    SCENARIO,
    SEED,
    SHARE,
    SPACING,
    STAGES,
    USER_OPTIONS,
    with_options,
)
from harness.cli.perf import drive, progress

PLACE_OPTIONS = (
    click.option("--platform", type=click.Choice(["kubernetes"]), default="kubernetes",
                 help="Where the service runs."),
    CONTEXT,
    KUBECONFIG,
    click.option("--namespace", required=True, help="Where the service is."),
    click.option("--load-namespace", help="Where the load Jobs go (default: --namespace)."),
    click.option("--target", metavar="URL", help="Drive this URL instead of the Service."),
    PRODUCTION,
    ALLOW_TARGET,
    click.option("--image", default="codai-harness:dev", help="Of the pods."),
    PODS,
    click.option("--workers", type=click.IntRange(1, 500), default=1,
                 help="Load pods; each takes its share of the one schedule."),
    click.option("--worker-cpu", default="1", help="CPU that each pod requests."),
    click.option("--worker-memory", default="256Mi", help="Request and limit of memory."),
    click.option("--exclude-region", "away_from", multiple=True, metavar="REGION",
                 help="A region without load pods; repeat."),
    click.option("--ttl", "ttl_s", type=DURATION, default="5m",
                 help="How long ended Jobs stay when nobody clears them away."),
)  # fmt: skip

LOAD_OPTIONS = (
    SCENARIO,
    SEED,
    click.option(
        "--connections", type=click.IntRange(min=1), help="Connections of all workers together."
    ),
    MAX_IN_FLIGHT,
    RESULTS,
    SHARE,
)


def place_of(words: dict[str, Any], *, jobs: bool = True) -> Any:
    """Take the words of PLACE_OPTIONS out of `words`; the LoadLocation they describe."""
    from harness.load.kubernetes.options import JobOptions
    from harness.session.cluster import LoadLocation

    words.pop("platform")
    namespace = words.pop("namespace")
    chosen = JobOptions(
        namespace=words.pop("load_namespace") or namespace,
        image=words.pop("image"),
        cpu=words.pop("worker_cpu"),
        memory=words.pop("worker_memory"),
        away_from=words.pop("away_from"),
        ttl_s=round(words.pop("ttl_s")),
    )
    where = (words.pop("context"), words.pop("kubeconfig"), words.pop("pods"))
    return LoadLocation(namespace, chosen if jobs else None, *where)


@click.command("load")
@click.argument("service")
@with_options(
    PROFILE,
    STAGES,
    RATE_OPTION,
    DURATION_OPTION,
    SPACING,
    *USER_OPTIONS,
    *PLACE_OPTIONS,
    *LOAD_OPTIONS,
    EARLY_END_OPTION,
)
@connection_options
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No live display.")
def command(service: str, *, as_json: bool, quiet: bool, **words: Any) -> int:
    """Drive SERVICE from pods in its cluster, measure it honestly and judge it.

    Locust's master and workers run as Jobs, spread over the nodes; their stream comes back through
    the master's log and becomes a record like any other. A pod that is lost makes the run invalid,
    and the verdict says which part of the schedule is unknown.
    """
    from harness.api import reporting
    from harness.session.cluster import cluster_session
    from harness.session.options import RunOptions

    place = place_of(words)
    options = reporting(RunOptions(service, platform="kubernetes", **words))
    with cluster_session(options, place, progress(quiet=quiet)) as (ready, _):
        return drive(ready, quiet=quiet, as_json=as_json)
