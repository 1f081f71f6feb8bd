"""How connections to the service are made: options that become fields of a Target."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.options import DURATION, with_options
from harness.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, dir_okay=False)

_OPTIONS = (
    click.option(
        "--http2",
        is_flag=True,
        help="Speak HTTP/2: by ALPN where the URL is https, else by prior knowledge (h2c).",
    ),
    click.option(
        "--insecure", is_flag=True, help="Do not verify TLS certificates; every report says so."
    ),
    click.option(
        "--cacert", type=_FILE, help="PEM file of the CAs to trust, instead of the system's."
    ),
    click.option("--cert", type=_FILE, help="PEM file of the client certificate and its chain."),
    click.option("--key", type=_FILE, help="PEM file of its private key (default: --cert)."),
    click.option(
        "--resolve",
        multiple=True,
        metavar="HOST:PORT:ADDRESS",
        help="Connect to this IP address for the URL's host and port; repeat for several.",
    ),
    click.option("--unix-socket", metavar="PATH", help="Connect to this socket file."),
    click.option(
        "--proxy",
        metavar="URL",
        help="Connect through this proxy, http://[user:password@]host:port. Variables such as"
        " HTTP_PROXY are ignored.",
    ),
    click.option("--new-connections", is_flag=True, help="Make a new connection for each request."),
    click.option(
        "--connection-max-age",
        "max_age_s",
        type=DURATION,
        help="Use a connection no longer than this; names are resolved anew for the next.",
    ),
    click.option(
        "--connection-max-requests",
        "max_requests",
        type=click.IntRange(min=1),
        help="Use a connection for this many requests.",
    ),
)
_NAMES = (
    "http2", "insecure", "cacert", "cert", "key", "resolve", "unix_socket", "proxy",
    "new_connections", "max_age_s", "max_requests",
)  # fmt: skip


def connection_options(command: F) -> F:
    """Give a command these options; it gets them as `connect`, the fields of a Target they set."""

    @functools.wraps(command)
    def gathered(*words: Any, **more: Any) -> Any:
        return command(*words, connect=_fields(**{name: more.pop(name) for name in _NAMES}), **more)

    return with_options(*_OPTIONS)(gathered)  # type: ignore[return-value]


def _fields(
    *, http2: bool, insecure: bool, cacert: Path | None, cert: Path | None, key: Path | None,
    resolve: tuple[str, ...], unix_socket: str | None, proxy: str | None, new_connections: bool,
    max_age_s: float | None, max_requests: int | None,
) -> dict[str, Any]:  # fmt: skip
    if key is not None and cert is None:
        raise UsageError("--key without --cert", "name the certificate as well")
    if new_connections and max_requests not in {None, 1}:
        raise UsageError("--new-connections and --connection-max-requests", "keep one of them")
    found = {
        "http2": http2 or None,
        "verify": False if insecure else None,
        "ca_file": _absolute(cacert),
        "cert_file": _absolute(cert),
        "key_file": _absolute(key),
        "resolve": resolve or None,
        "unix_socket": None if unix_socket is None else _absolute(Path(unix_socket)),
        "proxy": proxy,
        "max_age_s": max_age_s,
        "max_requests": 1 if new_connections else max_requests,
    }
    return {name: value for name, value in found.items() if value is not None}


def _absolute(path: Path | None) -> str | None:
    """A load child may run in another directory."""
    return None if path is None else str(path.absolute())
