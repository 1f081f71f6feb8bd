"""Writes container images as OCI archives, without an engine and without a registry."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image to be: its names, its layers (tar files, lowest first), what runs in it.

    `key` is equal for equal content.
    """

    names: tuple[str, ...]
    layers: tuple[Path, ...]
    key: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def write(self, archive: Path) -> None:
        """Write the OCI archive: `ctr images import`, `podman load` and `docker load` read it."""
        blobs: dict[str, bytes | Path] = {}

        def describe(kind: str, content: bytes | Path) -> dict[str, Any]:
            digest, size = _digest(content)
            blobs[digest] = content
            media = f"application/vnd.oci.image.{kind}"
            return {"mediaType": media, "digest": f"sha256:{digest}", "size": size}

        layers = [describe("layer.v1.tar", layer) for layer in self.layers]
        machine = platform.machine()
        config = {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {
                "Cmd": list(self.command),
                "Env": [f"{name}={value}" for name, value in self.environment.items()],
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe("config.v1+json", json.dumps(config).encode()),
            "layers": layers,
        }
        whole = describe("manifest.v1+json", json.dumps(manifest).encode())
        index = {
            "schemaVersion": 2,
            "manifests": [
                {**whole, "annotations": {"io.containerd.image.name": name}} for name in self.names
            ],
        }
        with tarfile.open(archive, "w") as tar:
            _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _add(tar, "index.json", json.dumps(index).encode())
            for digest, content in blobs.items():
                if isinstance(content, Path):
                    tar.add(content, f"blobs/sha256/{digest}")
                else:
                    _add(tar, f"blobs/sha256/{digest}", content)


def _digest(content: bytes | Path) -> tuple[str, int]:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest(), len(content)
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), content.stat().st_size


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))


def layer(tree: Path, target: Path) -> None:
    """Write a directory tree as a layer: root's, without times, so equal trees are equal bytes."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.iterdir()):
            tar.add(path, path.name, filter=plain)
