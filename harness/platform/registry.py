"""The platforms by name."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import PlatformError
from harness.platform.lab.options import LabOptions
from harness.platform.lab.platform import Lab
from harness.platform.model import Platform
from harness.platform.url import Url

PLATFORMS = ("lab", "url")


def make_platform(
    name: str,
    *,
    url: str | None = None,
    options: LabOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> Platform:
    """The platform of this name: `lab` takes `options`, `url` takes `url`.

    Raises PlatformError for an unknown name or a missing URL.
    """
    if name == "lab":
        return Lab(options, progress)
    if name == "url":
        if url is None:
            raise PlatformError("the platform `url` needs a URL", "give --target http://host:port")
        return Url(url)
    raise PlatformError(f"no platform {name!r}", f"give one of {', '.join(PLATFORMS)}")
