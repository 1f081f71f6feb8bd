"""`harness limits SERVICE`: whether its rate limit is what is declared."""

import re
import sys
from pathlib import Path
from typing import Any

import click

from harness.catalog import load_catalog
from harness.catalog.model import RateLimit, Service
from harness.cli.options import ALLOW_TARGET, BEHAVIOUR, DURATION, with_options
from harness.cli.output import print_json, say
from harness.errors import UsageError
from harness.units import format_duration

MOST_KEY_BYTES = 1 << 20


@click.command("limits")
@click.argument("service", metavar="SERVICE|URL")
@click.option("--limit", type=click.IntRange(min=1), help="Requests of a key in a window.")
@click.option("--window", "window_s", type=DURATION, help="Its length, e.g. 1m.")
@click.option("--header", help="Header that holds the key (default: x-api-key).")
@click.option("--path", help="GET of it is asked for (default: a collection of the service).")
@click.option(
    "--keys",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with nine keys that nobody else uses, one a line (default: new names).",
)
@click.option("--target", metavar="URL", help="Ask this URL instead of the lab.")
@click.option("--environment", help="Ask an environment named in the catalogue.")
@click.option("--production", is_flag=True, help="Confirm that production is meant.")
@with_options(ALLOW_TARGET, BEHAVIOUR)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
def command(
    service: str,
    *,
    limit: int | None,
    window_s: float | None,
    header: str | None,
    path: str | None,
    keys: Path | None,
    behaviour: dict[str, Any],
    as_json: bool,
    **words: Any,
) -> int:
    """Measure the rate limit of SERVICE and judge it by what its catalogue entry declares.

    Its size, Retry-After, other keys beside one that sends twice its limit, the goodput then, and
    the recovery: a little more than two windows. Without --target one replica of the lab is asked,
    which has the declared limit unless --behaviour says otherwise.
    """
    from harness.api import RunOptions, session
    from harness.limits import judge_limit, measure_limit
    from harness.report.checked import print_checked

    known = None if "://" in service else load_catalog().service(service)
    meant = _declared(known, limit, window_s, header)
    _check_request(path, meant.header)
    own = _keys(keys) if keys else ()
    elsewhere = "://" in service or words["target"] or words["environment"]
    if not elsewhere:
        usual = {"rate_limit": meant.requests, "rate_window_s": meant.window_s}
        words |= {"behaviour": {**usual, **behaviour}, "replicas": 1}
    options = RunOptions(service, **words)
    with session(options, say) as ready:
        asked = path or _path(ready.service)
        found = measure_limit(ready.target, asked, meant, own)
    verdict = judge_limit(ready.service.name, meant, found)
    if as_json:
        print_json(verdict.as_dict())
    else:
        window = format_duration(meant.window_s)
        title = (
            f"{verdict.service} · {meant.requests:,} requests in {window} for each {meant.header}"
        )
        print_checked(verdict, sys.stdout, "limits", title)
    return verdict.exit_code


def _declared(
    service: Service | None, limit: int | None, window_s: float | None, header: str | None
) -> RateLimit:
    """The limit of the catalogue, with what was said instead. Raises UsageError for none."""
    declared = service.rate_limit if service else None
    if declared is None and limit is None:
        raise UsageError(
            "no rate limit is declared", "add rateLimit to its Target, or give --limit and --window"
        )
    usual = declared or RateLimit(limit or 0)
    found = RateLimit(
        limit or usual.requests,
        usual.window_s if window_s is None else window_s,
        header or usual.header,
    )
    if found.window_s < 1:
        raise UsageError(
            f"--window {found.window_s:g}s", "give at least 1s: Retry-After is in whole seconds"
        )
    return found


def _check_request(path: str | None, header: str) -> None:
    """Raise UsageError for what no request can have."""
    if path is not None and not re.fullmatch(r"/[!-~]*", path):
        raise UsageError(f"--path {path!r} is no path", "write it as /api/items, without spaces")
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", header):
        raise UsageError(f"--header {header!r} is no name of a header", "name one, e.g. x-api-key")


def _keys(path: Path) -> tuple[str, ...]:
    """The keys of a file. Raises UsageError where it cannot be read or has too few."""
    from harness.bounded import read_file
    from harness.limits.model import KEYS

    try:
        found = tuple(dict.fromkeys(read_file(path, MOST_KEY_BYTES).decode("ascii").split()))
    except OSError as error:
        raise UsageError(f"--keys {path}: {error.strerror}", "name a readable file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--keys {path}: {error}", "keys are ASCII, as headers are") from None
    if len(found) < KEYS:
        raise UsageError(
            f"--keys {path}: {len(found)} different keys", f"give {KEYS} that nobody else uses"
        )
    return found


def _path(service: Service) -> str:
    """A path that any client may read: the first collection, or what the URL names."""
    collections = (r.path for r in service.routes if "GET" in r.methods and "{" not in r.path)
    return next(collections, service.health_path)
