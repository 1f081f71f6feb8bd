"""The programs of the cluster, built from their Go modules once and kept.

A component is a `main` package in `go/<name>/` and the module that it mainly uses. Its `go.mod` and
`go.sum` are derived from that module's own at build time, so the versions are the ones upstream
was tested with. The cache holds one directory per component, version, source and Go release; it
appears by a rename, complete or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster.errors import ClusterError

SOURCES = Path(__file__).parent / "go"
DOWNLOAD_LIMIT_S = 900
COMPILE_LIMIT_S = 3600
KUBERNETES = "1.34.4"  # 1.35 kubelets refuse cgroup v1

Say = Callable[[str], None]


@dataclass(frozen=True)
class Component:
    """One Go program: where its `main` is, and the module whose requirements it takes over."""

    name: str
    module: str | None = None
    version: str | None = None
    flags: str = ""
    aliases: tuple[str, ...] = ()
    source: Path | None = None

    @property
    def directory(self) -> Path:
        """The directory of its `main` package."""
        return self.source or SOURCES / self.name


def _kubernetes_flags() -> str:
    major, minor, _ = KUBERNETES.split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {package}.{key}={value}" for key, value in values.items())


KUBE = Component(
    "kube",
    "k8s.io/kubernetes",
    f"v{KUBERNETES}",
    _kubernetes_flags(),
    (
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
    ),
)
ETCD = Component("etcd", "go.etcd.io/etcd/server/v3", "v3.6.5")
DNS = Component("dns", "github.com/coredns/coredns", "v1.14.0")
METRICS = Component("metrics", "sigs.k8s.io/metrics-server", "v0.9.0")
PAUSE = Component("pause")
COMPONENTS = (PAUSE, ETCD, KUBE, DNS, METRICS)


def cache_directory() -> Path:
    """Where built components are kept: `$XDG_CACHE_HOME/codai-harness/kubernetes`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "codai-harness" / "kubernetes"


def say(line: str) -> None:
    """A progress line on standard error, written through at once."""
    print(f"kubernetes: {line}", file=sys.stderr, flush=True)  # noqa: T201


@cache
def _go_version() -> str:
    if shutil.which("go") is None:
        raise ClusterError("the cluster is built from Go modules and there is no go on PATH")
    return _run(["go", "env", "GOVERSION"], SOURCES, 60).strip()


def _run(command: list[str], directory: Path, limit_s: float, **environment: str) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(command[:4])} took more than {limit_s:.0f} s") from None
    if done.returncode:
        raise ClusterError(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def key(component: Component) -> str:
    """The component's directory name in the cache: equal for equal ingredients."""
    digest = hashlib.sha256(_go_version().encode() + component.flags.encode())
    digest.update(platform.machine().encode())
    for file in sorted(component.directory.glob("*.go")):
        digest.update(file.read_bytes())
    return "-".join(filter(None, (component.name, component.version, digest.hexdigest()[:12])))


def built(component: Component) -> Path | None:
    """The directory with the component's programs, or None when it has yet to be built."""
    home = cache_directory() / key(component)
    return home if home.is_dir() else None


def build(component: Component, tell: Say = say) -> Path:
    """The directory with the component's programs, built now unless it is in the cache.

    Raises `ClusterError` when Go, a module or the compiler fails.
    """
    if home := built(component):
        return home
    root = cache_directory()
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{component.name}.lock"):
        if home := built(component):
            return home
        started = time.monotonic()
        tell(f"building {component.name} {component.version or ''}".rstrip())
        with tempfile.TemporaryDirectory(prefix=f".{component.name}-", dir=root) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            _compile(component, Path(scratch), made / component.name, tell)
            for alias in component.aliases:
                (made / alias).symlink_to(component.name)
            made.rename(root / key(component))
        size = (root / key(component) / component.name).stat().st_size / 1e6
        tell(f"built {component.name} in {time.monotonic() - started:.0f} s, {size:.0f} MB")
    return root / key(component)


def build_all(tell: Say = say) -> dict[str, Path]:
    """Every component's directory by its name, built where the cache has none."""
    return {component.name: build(component, tell) for component in COMPONENTS}


def _compile(component: Component, scratch: Path, target: Path, tell: Say) -> None:
    work = scratch / "source"
    work.mkdir()
    for file in component.directory.glob("*.go"):
        shutil.copy(file, work)
    (work / "go.mod").write_text(f"module cluster/{component.name}\n")
    if component.module:
        _take_over_requirements(component, work, tell)
    flags = f"-mod=mod {os.environ.get('GOFLAGS', '')}".strip()
    options = ["-trimpath", "-buildvcs=false", f"-ldflags=-s -w {component.flags}".rstrip()]
    command = ["nice", "-n", "10", "go", "build", *options, "-o", str(target), "."]
    _run(command, work, COMPILE_LIMIT_S, CGO_ENABLED="0", GOFLAGS=flags, GOWORK="off")


def _take_over_requirements(component: Component, work: Path, tell: Say) -> None:
    """Give the main the requirements that its module was tested with.

    A module's `replace` lines count only in its own tree. Those of Kubernetes point at directories
    that are also published as modules of their own, numbered v0.minor.patch.
    """
    tell(f"downloading {component.module} {component.version}")
    answer = _run(
        ["go", "mod", "download", "-json", f"{component.module}@{component.version}"],
        work,
        DOWNLOAD_LIMIT_S,
    )
    upstream = Path(json.loads(answer)["Dir"])
    described: dict[str, Any] = json.loads(
        _run(["go", "mod", "edit", "-json", str(upstream / "go.mod")], work, 60)
    )
    required = {row["Path"]: row["Version"] for row in described.get("Require") or ()}
    edits = [f"-go={described['Go']}", f"-require={component.module}@{component.version}"]
    edits += [f"-require={path}@{version}" for path, version in required.items()]
    for row in described.get("Replace") or ():
        path, new = row["Old"]["Path"], row["New"]
        if "Version" in new:
            edits.append(f"-replace={path}={new['Path']}@{new['Version']}")
        elif required.get(path) == "v0.0.0":
            edits.append(f"-replace={path}={path}@v0.{KUBERNETES.partition('.')[2]}")
    _run(["go", "mod", "edit", *edits], work, 60)
    shutil.copyfile(upstream / "go.sum", work / "go.sum")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process builds a component; the others wait and then find it built."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
