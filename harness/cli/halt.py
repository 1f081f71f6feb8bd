"""`harness halt`: end every experiment that runs, undo what it broke, and prove it."""

from pathlib import Path

import click

from harness.cli.options import CLUSTER_OPTIONS, with_options
from harness.cli.output import print_json
from harness.cli.reap import as_document, platform_of, print_reaped, refuse_cluster


@click.command("halt")
@click.option(
    "--platform",
    type=click.Choice(["lab", "kubernetes"]),
    default="lab",
    help="lab: whatever runs on this machine. kubernetes: what any machine runs in a namespace.",
)
@with_options(*CLUSTER_OPTIONS)
@click.option("--json", "as_json", is_flag=True, help="Print what was ended as JSON.")
def command(
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
    from harness.chaos.halt import halt
    from harness.chaos.running import this_user

    where = (namespace, context, kubeconfig, pods)
    refuse_cluster((platform,), *where)
    found = halt(platform_of(platform, *where), this_user())
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
