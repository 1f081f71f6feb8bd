"""`harness scale-test SERVICE`: does the autoscaler follow the load, and how fast?"""

import sys
from typing import Any

import click

from harness.cli.load import LOAD_OPTIONS, PLACE_OPTIONS, place_of
from harness.cli.options import DURATION, RATE, with_options
from harness.cli.output import print_json

PROFILE_OPTIONS = (
    click.option("--rate", "peak", type=RATE, required=True, help="Arrival rate of the peak."),
    click.option("--base", type=RATE, help="Rate before and after (default: a fifth of it)."),
    click.option("--before", "before_s", type=DURATION, default="30s",
                 help="How long the base is held first."),
    click.option("--rise", "rise_s", type=DURATION, default="10s",
                 help="How long the load takes to rise."),
    click.option("--hold", "hold_s", type=DURATION, default="3m",
                 help="How long the peak is held."),
    click.option(
        "--after", "after_s", type=DURATION,
        help="How long scaling down is watched (default: the HPA's stabilization and a minute).",
    ),
    click.option("--hpa", help="The autoscaler, where the service's name does not tell it."),
    click.option("--per-replica", type=RATE, help="What one replica shall carry (else measured)."),
    click.option("--from-here", is_flag=True, help="Load from this machine instead of from pods."),
)  # fmt: skip

LIMIT_OPTIONS = (
    click.option("--max-time-to-ready", "first_ready_s", type=DURATION, default="60s",
                 help="Until the first new pod is ready."),
    click.option("--max-recovery-time", "holds_again_s", type=DURATION, default="2m",
                 help="Until the objectives hold again."),
    click.option("--max-flaps", "flaps", type=click.IntRange(min=0), default=0,
                 help="Turns of the replicas that the load did not make."),
    click.option("--max-replicas", "most_replicas", type=click.IntRange(min=1),
                 help="Pods at once."),
    click.option("--max-underprovisioned", "under_pod_s", type=float, help="Pod-seconds too few."),
    click.option("--max-overprovisioned", "over_pod_s", type=float, help="Pod-seconds too many."),
    click.option("--max-scale-down-time", "scaled_down_s", type=DURATION,
                 help="From the load's fall to the pods of before."),
)  # fmt: skip


def _take(words: dict[str, Any], kind: type[Any]) -> Any:
    """The dataclass made of those of the words that are its fields."""
    return kind(**{name: words.pop(name) for name in kind.__dataclass_fields__ if name in words})


@click.command("scale-test")
@click.argument("service")
@with_options(*PROFILE_OPTIONS, *LIMIT_OPTIONS, *PLACE_OPTIONS, *LOAD_OPTIONS)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No live display.")
def command(service: str, *, as_json: bool, quiet: bool, **words: Any) -> int:
    """Raise the load on SERVICE beyond its pods and judge how its autoscaler follows.

    Base, rise, peak, base: the time to the first new ready pod, until the objectives hold again,
    pod-seconds too few and too many, flapping, and how it scales down. A limit that was not seen
    broken or kept is inconclusive, a run whose load cannot be trusted is invalid.
    """
    from harness.api import reporting
    from harness.judge.scaling import ScalingLimits
    from harness.load.kubernetes.autoscaler import await_metrics, find_autoscaler
    from harness.platform.kubernetes.access import SCALE_NEEDS, require
    from harness.report.live import LiveDisplay
    from harness.report.scaling import print_scaling, write_page
    from harness.session.cluster import cluster_session
    from harness.session.options import RunOptions
    from harness.session.scale_test import ScaleOptions, scale_profile, scale_test

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    hpa, from_here = words.pop("hpa"), words.pop("from_here")
    place = place_of(words, jobs=not from_here)
    limits = _take(words, ScalingLimits)
    seed = words.pop("seed")
    options = _take({**words, "seed": seed}, ScaleOptions)
    for name in ScaleOptions.__dataclass_fields__:
        words.pop(name, None)
    chosen = reporting(RunOptions(service, platform="kubernetes", seed=seed, **words))
    with cluster_session(chosen, place, say) as (ready, api):
        require(api, place.namespace, SCALE_NEEDS)
        scaler = find_autoscaler(api, place.namespace, service, hpa)
        profile = scale_profile(options, scaler)
        say(
            f"autoscaler {scaler.name}: {scaler.least} to {scaler.most} pods,"
            f" {', '.join(scaler.targets)}; {profile.duration_s:.0f} s of load"
        )
        await_metrics(api, scaler)
        if quiet:
            outcome = scale_test(ready, api, scaler, options, limits)
        else:
            with LiveDisplay(ready.plan(profile), sys.stderr) as live:
                outcome = scale_test(ready, api, scaler, options, limits, live.update)
    write_page(outcome.record, outcome.verdict, options.per_replica)
    if as_json:
        print_json(outcome.verdict.as_dict())
    else:
        print_scaling(outcome.record, outcome.verdict, sys.stdout)
    return outcome.verdict.exit_code
