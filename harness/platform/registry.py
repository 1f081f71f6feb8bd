"""The platforms by name."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, cast

from harness.errors import PlatformError
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Platform
from harness.platform.names import PLATFORMS
from harness.platform.url import Url

_ATTACH = {
    "lab": "harness.platform.lab.platform:Lab.from_handle",
    "kubernetes": "harness.platform.kubernetes.platform:Kubernetes.from_handle",
    "url": "harness.platform.url:Url.from_handle",
}
"""Platform's name -> what turns a handle of it into a platform, imported when it is needed."""


def make_platform(
    name: str,
    *,
    url: str | None = None,
    connect: Mapping[str, Any] | None = None,
    options: LabOptions | None = None,
    where: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Platform:
    """The platform of this name: `lab` takes `options`, `url` its URL, `kubernetes` `where`.

    `connect` are the fields of a Target that say how a URL is reached. Raises PlatformError for an
    unknown name or a missing URL.
    """
    if name == "lab":
        return Lab(options, progress)
    if name == "kubernetes":
        from harness.platform.kubernetes.platform import Kubernetes, Where  # noqa: PLC0415 - slow

        return Kubernetes(Where(**(where or {})), progress)
    if name == "url":
        if url is None:
            raise PlatformError("the platform `url` needs a URL", "give --target http://host:port")
        return Url(url, **(connect or {}))
    raise PlatformError(f"no platform {name!r}", f"give one of {', '.join(PLATFORMS)}")


def attach(handle: Mapping[str, object]) -> Platform:
    """The platform whose `handle()` this is; PlatformError for no platform, or where it is gone."""
    home = _ATTACH.get(str(handle.get("platform")))
    if home is None:
        raise PlatformError(
            f"handle: no platform {handle.get('platform')!r}", f"give one of {', '.join(_ATTACH)}"
        )
    module, _, path = home.partition(":")
    found: object = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return cast("Callable[[Mapping[str, object]], Platform]", found)(handle)
