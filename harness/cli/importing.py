"""`harness import FORMAT FILE`: a scenario to edit from what was seen elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError
from harness.units import counted

if TYPE_CHECKING:
    from harness.traffic.imports.seen import Seen

MOST_LISTED = 12
"""Of what was removed or left out; the rest is counted."""


@click.command("import")
@click.argument(
    "kind", metavar="FORMAT", type=click.Choice(["curl", "har", "log", "openapi", "postman"])
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Default: FILE's name with .py.")
@click.option("--service", help="Name of the service in the scenario (default: FILE's name).")
@click.option("--host", help="Of several in a HAR (default: the one that was asked most).")
@click.option("--static", is_flag=True, help="Keep static files: styles, scripts, pictures, fonts.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Of a log: instants, endpoints and values, for --profile replay:FILE.",
)
def command(
    kind: str,
    file: Path,
    *,
    output: Path | None,
    service: str | None,
    host: str | None,
    static: bool,
    trace: Path | None,
) -> int:
    """Write a scenario from curl commands, a HAR, an access log, an OpenAPI document or Postman.

    Requests are grouped by endpoint, with weights by their count and values beside the scenario.
    Secrets are removed, and listed.
    """
    from harness.project import slug
    from harness.storage import writing
    from harness.traffic.imports.log import read_log
    from harness.traffic.imports.write import write_scenario

    if trace is not None and kind != "log":
        raise UsageError("--trace is for a log", "leave it out")
    if trace is not None and trace.exists():
        raise UsageError(f"{trace} is there already", "remove it, or name another")
    name = service or slug(file.stem)
    log = read_log(file, everything=static) if kind == "log" else None
    seen = log.seen if log is not None else _seen(kind, file, host, static=static)
    path = output or Path(f"{slug(file.stem).replace('.', '-')}.py")
    for made in write_scenario(seen, path, name):
        click.echo(f"wrote {made}")
    if log is not None and trace is not None:
        with writing(trace.parent), trace.open("w", encoding="utf-8") as stream:
            log.write_trace(stream)
        click.echo(f"wrote {trace}")
    _tell(seen)
    replayed = "" if trace is None else f" --profile replay:{trace}"
    click.echo(f"now: harness perf URL --scenario {path}{replayed}")
    return 0


def _seen(kind: str, file: Path, host: str | None, *, static: bool) -> Seen:
    from harness.traffic.imports.curl import curl_exchanges
    from harness.traffic.imports.har import har_exchanges
    from harness.traffic.imports.openapi import openapi_exchanges
    from harness.traffic.imports.postman import postman_exchanges
    from harness.traffic.imports.seen import of_one_service

    read = {
        "curl": curl_exchanges,
        "har": har_exchanges,
        "openapi": openapi_exchanges,
        "postman": postman_exchanges,
    }[kind]
    return of_one_service(str(file), read(file), host, everything=static)


def _tell(seen: Seen) -> None:
    rate = f" in {seen.rate:.3g}/s" if seen.rate else ""
    endpoints = counted(len(seen.endpoints), "endpoint")
    click.echo(f"{endpoints}, {counted(seen.count, 'request')}{rate}")
    _list("removed", seen.removed)
    _list("left out", (f"{what} ({count:,})" for what, count in seen.left_out.most_common()))


def _list(what: str, lines: Iterable[str]) -> None:
    found = list(lines)
    for line in found[:MOST_LISTED]:
        click.echo(f"{what}: {line}")
    if len(found) > MOST_LISTED:
        click.echo(f"{what}: {len(found) - MOST_LISTED} more")
