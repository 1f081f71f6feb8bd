"""`harness reap` and `harness halt`: undo what experiments broke; nothing of it may remain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.catalog import load_catalog
from harness.catalog.pods import NONE
from harness.cli.options import CLUSTER_OPTIONS, with_options
from harness.cli.output import print_json, say
from harness.errors import CatalogError, UsageError
from harness.platform.names import traits_of

if TYPE_CHECKING:
    from harness.chaos.undo import Reaped
    from harness.platform.model import Platform


@click.command("reap")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="NAME",
    help="Where to look for what is left (default: lab); may be given again.",
)
@with_options(*CLUSTER_OPTIONS)
@click.option(
    "--force",
    "forced",
    multiple=True,
    metavar="RECORD",
    help="Carry out this record too, though no harness signed it: it is shown first, and asked"
    " about. May be given again.",
)
@click.option("--yes", is_flag=True, help="Do not ask about what --force names.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(
    platforms: tuple[str, ...],
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    pods: Path | None,
    forced: tuple[str, ...],
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Undo the faults of runs that are gone, then look for anything that is left of any fault.

    Whatever this machine's runs hit is undone where it was hit. A cluster remembers its faults
    itself: with --platform kubernetes those of any machine's runs are undone. Exit code 0 when
    nothing remains, 1 when something does, 2 while a run is breaking things in that namespace:
    faults of runs that are still alive are theirs to undo and are not touched. A cluster's records
    are signed; what anybody else wrote there is shown and carried out only by --force.
    """
    from harness.chaos.running import running
    from harness.chaos.undo import reap

    named = tuple(dict.fromkeys(platforms or ("lab",)))
    refuse_cluster(named, namespace, context, kubeconfig, pods)
    found_at = [platform_of(name, namespace, context, kubeconfig, pods) for name in named]
    with ExitStack() as held:
        for platform in found_at:
            held.enter_context(platform.exclusive())
        confirm(found_at, forced, yes=yes)
        found = reap(found_at, forced)
        alive = [each.what for each in running()]
    if as_json:
        print_json(as_document(found) | {"running": alive})
        return 0 if found.clean else 1
    for what in alive:
        click.echo(f"{what} runs: its faults are its own to undo (harness halt ends it)")
    print_reaped(found, "of any other fault" if alive else "of any fault")
    return 0 if found.clean else 1


def confirm(platforms: Sequence[Platform], forced: Sequence[str], *, yes: bool) -> None:
    """Show each record that no harness signed, and ask; raises UsageError for one unknown."""
    unsigned = {name: record for each in platforms for name, record in each.unsigned().items()}
    for name in forced:
        if name not in unsigned:
            known = ", ".join(sorted(unsigned)) or "none"
            raise UsageError(f"there is no unsigned record {name!r}", f"unsigned: {known}")
        click.echo(f"{name}, not signed by a harness:", err=True)
        click.echo(json.dumps(asdict(unsigned[name]), indent=2), err=True)
        if not yes and not click.confirm("Carry it out?", err=True):
            raise UsageError(f"{name} was not confirmed", "leave --force away, or answer y")


def refuse_cluster(named: Sequence[str], *described: str | Path | None) -> None:
    """Raise UsageError where a cluster is described and not named."""
    cluster = any(traits_of(name).in_cluster for name in named)
    if not cluster and any(described):
        raise UsageError(
            "--namespace, --context, --kubeconfig and --pods are for a cluster",
            "add --platform kubernetes",
        )


def as_document(found: Reaped) -> dict[str, Any]:
    """What `--json` prints of what was undone and of what remains."""
    return {
        "clean": found.clean,
        "undone": [
            {"fault_id": e.heal.fault_id, "kind": e.heal.kind, "problem": e.problem}
            for e in found.undone
        ],
        "leftovers": list(found.leftovers),
        "unreadable": list(found.unreadable),
    }


def print_reaped(found: Reaped, whose: str = "of any fault") -> None:
    """A line for each fault that was undone, and for whatever remains."""
    for each in found.undone:
        word = "undone" if each.problem is None else f"NOT undone: {each.problem}"
        click.echo(f"{each.heal.fault_id}: {word}")
    for pid in found.ended:
        click.echo(f"process {pid} of an experiment that is gone: ended")
    for left in (*found.leftovers, *found.unreadable):
        click.echo(f"remains: {left}")
    if found.clean:
        click.echo(f"nothing {whose} remains")


def platform_of(
    name: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    pods: Path | None = None,
) -> Platform:
    """The platform where faults are looked for; raises UsageError where too little is named."""
    from harness.catalog.pod_settings import pod_settings
    from harness.platform.registry import make_platform

    if not traits_of(name).in_cluster:
        return make_platform(name)
    if namespace is None:
        raise UsageError("no namespace was named", "add --namespace, e.g. codai-staging")
    try:
        settings = pod_settings(pods, () if pods else load_catalog().services(), namespace)
    except CatalogError:
        if pods is not None:
            raise
        settings = NONE  # what is to be undone does not wait for a catalogue to be mended
    where = {
        "namespace": namespace,
        "context": context,
        "kubeconfig": str(kubeconfig) if kubeconfig else None,
        "pods": settings,
    }
    return make_platform(name, where=where, progress=say)


@click.command("halt")
@click.option(
    "--platform",
    type=click.Choice(["lab", "kubernetes"]),
    default="lab",
    help="lab: whatever runs on this machine. kubernetes: what any machine runs in a namespace.",
)
@with_options(*CLUSTER_OPTIONS)
@click.option("--json", "as_json", is_flag=True, help="Print what was ended as JSON.")
def halt(
    platform: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    pods: Path | None,
    *,
    as_json: bool,
) -> int:
    """End every experiment and game day that runs, wait until it has healed, and reap.

    Without options those of this user on this machine. With --platform kubernetes those that hold
    the namespace, from whatever machine. Their verdict is inconclusive and names who halted them.
    Exit code 0 when nothing of any fault remains, also where nothing ran; 1 when something does.
    """
    from harness.chaos.halt import halt as halt_all
    from harness.chaos.running import this_user

    where = (namespace, context, kubeconfig, pods)
    refuse_cluster((platform,), *where)
    found = halt_all(platform_of(platform, *where), this_user())
    clean = found.reaped.clean
    if as_json:
        body = as_document(found.reaped)
        healed = [{"fault_id": e.fault_id, "kind": e.kind, "problem": None} for e in found.healed]
        stopped = [{"what": each.what, "killed": each.killed} for each in found.stopped]
        print_json(body | {"stopped": stopped, "undone": [*healed, *body["undone"]]})
        return 0 if clean else 1
    for each in found.stopped:
        click.echo(f"{each.what}: {'killed' if each.killed else 'ended'}")
    if not found.stopped:
        click.echo("no experiment runs")
    for heal in found.healed:
        click.echo(f"{heal.fault_id}: undone")
    print_reaped(found.reaped)
    return 0 if clean else 1
