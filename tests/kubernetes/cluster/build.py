"""The programs of the cluster, built from their Go modules once and kept.

Each is a `main` package in `go/<name>/`. All are built as one module, so that what they share (most
of Kubernetes' libraries) is compiled once. It takes over the requirements that the modules were
tested with, at build time from their own files; where two differ Go takes the newer, but
Kubernetes' own libraries are those of its version for all. The cache holds one directory per choice
of versions, source, recipe and Go release; it appears by a rename, complete or not at all.
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
from functools import cache
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster.errors import ClusterError

SOURCES = Path(__file__).parent / "go"
DOWNLOAD_LIMIT_S = 900
COMPILE_LIMIT_S = 3600
KUBERNETES = "1.34.4"  # 1.35 kubelets refuse cgroup v1

Say = Callable[[str], None]

MODULES = {
    "k8s.io/kubernetes": f"v{KUBERNETES}",
    "go.etcd.io/etcd/server/v3": "v3.6.5",
    "github.com/coredns/coredns": "v1.14.0",
    "sigs.k8s.io/metrics-server": "v0.8.0",  # the newest that Kubernetes' libraries above compile
}
CALLED_BY = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
"""The names that `kube` is called by."""


def _flags() -> list[str]:
    major, minor, _ = KUBERNETES.split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    told = " ".join(f"-X {package}.{key}={value}" for key, value in values.items())
    return ["-trimpath", "-buildvcs=false", f"-ldflags=-s -w {told}"]


def cache_directory() -> Path:
    """Where built programs are kept: `$XDG_CACHE_HOME/codai-harness/kubernetes`."""
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


def key() -> str:
    """The programs' directory name in the cache: equal for equal ingredients."""
    digest = hashlib.sha256(f"{_go_version()}\n{platform.machine()}".encode())
    for file in (Path(__file__), *sorted(SOURCES.glob("*/*.go"))):
        digest.update(file.name.encode() + file.parent.name.encode() + file.read_bytes())
    return f"programs-{digest.hexdigest()[:12]}"


def build(tell: Say = say) -> Path:
    """The directory with every program, built now unless it is in the cache.

    Raises `ClusterError` when Go, a module or the compiler fails.
    """
    root = cache_directory()
    home = root / key()
    if home.is_dir():
        return home
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / "programs.lock"):
        if home.is_dir():
            return home
        started = time.monotonic()
        tell(f"building Kubernetes {KUBERNETES}, etcd, DNS and metrics-server (minutes, once)")
        with tempfile.TemporaryDirectory(prefix=".programs-", dir=root) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            _compile(Path(scratch) / "source", made, tell)
            for name in CALLED_BY:
                (made / name).symlink_to("kube")
            made.rename(home)
        tell(f"built in {time.monotonic() - started:.0f} s")
    return home


def _compile(work: Path, made: Path, tell: Say) -> None:
    shutil.copytree(SOURCES, work)
    _take_over_requirements(work, tell)
    flags = f"-mod=mod {os.environ.get('GOFLAGS', '')}".strip()
    command = ["nice", "-n", "10", "go", "build", *_flags(), "-o", f"{made}/", "./..."]
    _run(command, work, COMPILE_LIMIT_S, CGO_ENABLED="0", GOFLAGS=flags, GOWORK="off")


def _take_over_requirements(work: Path, tell: Say) -> None:
    """Give the mains the requirements that their modules were tested with.

    A module's `replace` lines count only in its own tree. Those of Kubernetes point at directories
    that are also published as modules of their own, numbered v0.minor.patch: all take these.
    """
    (work / "go.mod").write_text("module cluster\n")
    edits, sums = [], set()
    for module, version in MODULES.items():
        tell(f"downloading {module} {version}")
        named = f"{module}@{version}"
        answer = _run(["go", "mod", "download", "-json", named], work, DOWNLOAD_LIMIT_S)
        upstream = Path(json.loads(answer)["Dir"])
        sums.update((upstream / "go.sum").read_text().splitlines())
        edits.append(f"-require={named}")
        if module == "k8s.io/kubernetes":
            edits += _libraries(upstream / "go.mod", work)
    _run(["go", "mod", "edit", *edits], work, 60)
    (work / "go.sum").write_text("\n".join(sorted(sums)) + "\n")


def _libraries(kubernetes: Path, work: Path) -> list[str]:
    """Kubernetes' own requirements, its staged libraries by their published names."""
    words = ["go", "mod", "edit", "-json", str(kubernetes)]
    described: dict[str, Any] = json.loads(_run(words, work, 60))
    required = {row["Path"]: row["Version"] for row in described.get("Require") or ()}
    edits = [f"-go={described['Go']}"]
    edits += [f"-require={path}@{version}" for path, version in required.items()]
    for row in described.get("Replace") or ():
        path = row["Old"]["Path"]
        if required.get(path) == "v0.0.0":
            edits.append(f"-replace={path}={path}@v0.{KUBERNETES.partition('.')[2]}")
    return edits


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process builds; the others wait and then find it built."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
