"""How connections to the service are made: options that become fields of a Target."""

import functools
from collections.abc import Callable, Mapping
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
    click.option("--unix-socket", type=_FILE, metavar="PATH", help="Connect to this socket file."),
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
FIELDS: Mapping[str, str] = {
    "http2": "http2", "insecure": "verify", "cacert": "ca_file", "cert": "cert_file",
    "key": "key_file", "resolve": "resolve", "unix_socket": "unix_socket", "proxy": "proxy",
    "new_connections": "max_requests", "max_age_s": "max_age_s", "max_requests": "max_requests",
}  # fmt: skip
"""The parameter of each option -> the field of a Target that it sets."""


def connection_options(command: F) -> F:
    """Give a command these options; it gets them as `connect`, the fields of a Target they set."""

    @functools.wraps(command)
    def gathered(*words: Any, **more: Any) -> Any:
        given = {name: more.pop(name) for name in FIELDS}
        said = {k: v for k, v in given.items() if not (v is None or v is False or v == ())}
        return command(*words, connect=_fields(said), **more)

    return with_options(*_OPTIONS)(gathered)  # type: ignore[return-value]


def _fields(given: Mapping[str, object]) -> dict[str, object]:
    if "key" in given and "cert" not in given:
        raise UsageError("--key without --cert", "name the certificate as well")
    if "new_connections" in given and given.get("max_requests", 1) != 1:
        raise UsageError("--new-connections and --connection-max-requests", "keep one of them")
    said = {"insecure": False, "new_connections": 1}
    return {
        # A load child may run in another directory.
        FIELDS[name]: str(value.absolute()) if isinstance(value, Path) else said.get(name, value)
        for name, value in given.items()
    }
