"""The project's image made of what this machine runs, in seconds: no engine, no registry.

`python -m deploy.images.local ARCHIVE` writes an OCI archive. The content is what `Dockerfile`
describes: Python with the packages of `packages.txt`, the harness and its engine, and the few tools
that a fault's helper pod needs (`nft`, `iptables`, `nsenter`, `ip`, `kill`, a shell). The
interpreter, the packages, the tools and the libraries that they load are copied from here, so they
fit each other.
Two layers: one that changes with the dependencies, one with the project's own files.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from deploy.images.oci import Image, layer

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
NAME = "codai-harness"
APPLICATION = ("harness", "scenarios", "services", "experiments")
TOOLS = (
    *("sh", "bash", "env", "cat", "ls", "sleep", "echo", "head", "tail", "mkdir", "rm", "touch"),
    *("stat", "date", "tr", "cut", "sort", "wc", "id", "chmod", "dd", "uname", "printf", "seq"),
    *("tee", "timeout", "true", "false", "test", "readlink", "ln", "cp", "mv", "df", "du", "sync"),
    *("grep", "sed", "awk", "find", "xargs", "nsenter", "unshare", "mount", "umount", "nft", "ip"),
    *("tc", "ss", "ps", "pgrep", "kill", "sysctl", "hostname", "getent"),
    *("iptables", "iptables-restore", "ip6tables", "ip6tables-restore"),
)
EXTENSIONS = ("NFQUEUE", "standard", "udp")
"""What iptables opens by its name when a rule says so."""
UNUSED = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages")
USERS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": "/app",
    "HARNESS_HOME": "/app",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
}
DIRECTORIES = (
    *("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "app", "etc", "root", "run"),
    *("var", "tmp", "proc", "sys", "dev"),
)
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def image() -> Image:
    """The image; its layers are made unless the cache has them."""
    base, application = _base_key(), _application_key()
    layers = (_made(f"base-{base}", _base), _made(f"app-{application}", _application))
    key = hashlib.sha256(f"{base}{application}{ENVIRONMENT}".encode()).hexdigest()[:12]
    names = tuple(f"docker.io/library/{NAME}:{tag}" for tag in (key, "dev"))
    return Image(names, layers, key, ("python", "-m", "harness", "--help"), ENVIRONMENT)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    found = Path(base) / NAME / "layers"
    found.mkdir(parents=True, exist_ok=True)
    return found


def _made(name: str, fill: Callable[[Path], None]) -> Path:
    """The layer called `name`, filled and kept unless it is; one process makes it at a time."""
    kept = _cache() / f"{name}.tar"
    kind = name.partition("-")[0]
    with (_cache() / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            return kept
        with tempfile.TemporaryDirectory(prefix=".making-", dir=_cache()) as scratch:
            tree, made = Path(scratch) / "tree", Path(scratch) / "layer.tar"
            tree.mkdir()
            fill(tree)
            layer(tree, made)
            for old in _cache().glob(f"{kind}-*.tar"):
                old.unlink()
            made.rename(kept)
    return kept


# -- the base: interpreter, packages, tools -----------------------------------------------------


def _roots() -> list[str]:
    lines = (HERE / "packages.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def distributions() -> list[metadata.Distribution]:
    """The packages of `packages.txt` and what they require, as installed here."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(line) for line in _roots()]
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        for line in found[name].requires or ():
            each = Requirement(line)
            extras = wanted.extras or {""}
            if not each.marker or any(each.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(each)
    return [found[name] for name in sorted(found)]


def _tools() -> dict[str, Path]:
    paths = {name: shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in TOOLS}
    return {name: Path(path) for name, path in paths.items() if path}


def _base_key() -> str:
    parts = [sys.version, Path(__file__).read_text()]
    parts += [f"{each.name} {each.version}" for each in distributions()]
    for name, path in _tools().items():
        about = path.stat()
        parts.append(f"{name} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _base(tree: Path) -> None:
    for directory in DIRECTORIES:
        (tree / directory).mkdir(parents=True)
    (tree / "tmp").chmod(0o1777)
    for link, target in MERGED.items():
        (tree / link).symlink_to(target)
    for file, text in USERS.items():
        (tree / file).write_text(text)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    binary = tree / "usr/local/bin" / version
    shutil.copy2(Path(sys.executable).resolve(), binary)
    for name in ("python3", "python"):
        binary.with_name(name).symlink_to(version)
    library = tree / "usr/local/lib" / version
    skipped = shutil.ignore_patterns(*UNUSED, "__pycache__", "config-*", "*.a")
    shutil.copytree(sysconfig.get_path("stdlib"), library, symlinks=True, ignore=skipped)
    _copy_packages(library / "site-packages")
    for tool, path in _tools().items():
        place = "usr/sbin" if "sbin" in path.parts else "usr/bin"
        shutil.copy2(path.resolve(), tree / place / tool)
    for extension in _extensions():
        (tree / extension.relative_to("/").parent).mkdir(parents=True, exist_ok=True)
        shutil.copy2(extension, tree / extension.relative_to("/"))
    _copy_libraries(tree)
    compile_all = [sys.executable, "-m", "compileall", "-q", "-j", "0"]
    modes = ["--invalidation-mode", "unchecked-hash", "-s", str(tree), "-p", "/"]
    subprocess.run([*compile_all, *modes, str(library)], check=False, capture_output=True)


def _extensions() -> list[Path]:
    return [p for name in EXTENSIONS for p in Path("/").glob(f"usr/lib/*/xtables/libxt_{name}.so")]


def _copy_packages(target: Path) -> None:
    for each in distributions():
        for file in each.files or ():
            if ".." in file.parts or "__pycache__" in file.parts:
                continue
            copy = target / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(each.locate_file(file)), copy)


def _copy_libraries(tree: Path) -> None:
    """Copy what the dynamic linker says that the programs and modules load, and itself."""
    binaries = [each for each in tree.rglob("*") if each.is_file() and _is_elf(each)]
    done = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False)
    needed = set(re.findall(r"(?:=> |^\t)(/\S+) \(0x", done.stdout, re.MULTILINE))
    needed.update(_dlopened())
    for name in needed:
        path = Path(name)
        if path.is_relative_to(tree):
            continue
        parts = path.parts[1:]
        target = tree.joinpath(*(("usr", *parts) if parts[0] in MERGED else parts))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(path.resolve(), target)


def _dlopened() -> list[str]:
    """Libraries that no program names but glibc opens when a thread ends."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    return re.findall(r"libgcc_s\.so\.1 \(libc6,x86-64\) => (\S+)", listed)


def _is_elf(path: Path) -> bool:
    if path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


# -- the project's own files ----------------------------------------------------------------------


def _application_files() -> list[Path]:
    paths = (path for name in APPLICATION for path in sorted((PROJECT / name).rglob("*")))
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def _application_key() -> str:
    digest = hashlib.sha256()
    for path in _application_files():
        digest.update(str(path.relative_to(PROJECT)).encode() + b"\0")
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _application(tree: Path) -> None:
    for path in _application_files():
        target = tree / "app" / path.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    for name in ("harness", "locust"):
        program = tree / "usr/local/bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec python -m {name} "$@"\n')
        program.chmod(0o755)


if __name__ == "__main__":
    made = image()
    made.write(Path(sys.argv[1]))
    print("\n".join(made.names))  # noqa: T201
