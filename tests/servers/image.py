"""One root file system from Debian packages that holds every server these tests drive."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import docker
from docker.errors import ImageNotFound

SUITE = "bookworm"
PACKAGES = ("gunicorn", "haproxy", "nginx")
# Unpacked, not configured: no maintainer script runs, so the one user is made here.
# The variant runs extract hooks only, and takes a newline in one for a file's name.
# Nor is base-files among them, whose directories the servers write to.
USERS = (
    'echo root:x:0:0:root:/root:/bin/sh >"$1/etc/passwd"; echo root:x:0: >"$1/etc/group"; '
    'mkdir -p "$1/run" "$1/tmp" "$1/var/lib" "$1/var/log/nginx" "$1/root"'
)
BUILD_LIMIT_S = 150


class ImageUnavailableError(Exception):
    """Why the image can be neither found nor built here, in one line."""


def recipe(target: Path) -> list[str]:
    """The command that builds the root file system as a tar file at `target`."""
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--include={','.join(PACKAGES)}",
        f"--extract-hook={USERS}",
        SUITE,
        str(target),
    ]


def content_tag() -> str:
    """`name:tag` of the image; another recipe is another tag, so a cached image is never stale."""
    digest = hashlib.sha256("\n".join(recipe(Path("root.tar"))).encode())
    return f"codai-harness-servers:{digest.hexdigest()[:12]}"


def ensure_image(client: docker.DockerClient) -> str:
    """The image's tag, after building it if this engine has none (some ten seconds, once).

    Raises ImageUnavailableError. Test processes beside each other build it once.
    """
    tag = content_tag()
    lock = Path(tempfile.gettempdir()) / f"{tag.replace(':', '-')}-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            client.images.get(tag)
        except ImageNotFound:
            build(client, tag)
    return tag


def build(client: docker.DockerClient, tag: str) -> None:
    """Builds the root file system and imports it as `tag`."""
    if shutil.which("mmdebstrap") is None:
        raise ImageUnavailableError(f"mmdebstrap is missing, which builds {tag}")
    with tempfile.TemporaryDirectory(prefix="codai-harness-") as folder:
        root = Path(folder) / "root.tar"
        try:
            made = subprocess.run(
                recipe(root), capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise ImageUnavailableError(f"mmdebstrap took over {BUILD_LIMIT_S} s") from None
        if made.returncode != 0:
            said = [line for line in made.stderr.splitlines() if line.startswith("E:")]
            raise ImageUnavailableError(
                f"mmdebstrap failed: {said[0] if said else made.returncode}"
            )
        repository, _, version = tag.partition(":")
        client.api.import_image(src=str(root), repository=repository, tag=version)
