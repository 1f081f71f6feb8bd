"""Asking git, where there is one."""

import getpass
import os
import subprocess
from pathlib import Path

from harness.errors import UsageError

TIMEOUT_S = 3.0
"""Of a question: what git answers from its own files takes milliseconds."""

SHORT = 10

OF_ONE_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Variables that git sets for hooks and drivers; they would answer for another directory."""


def ask_git(directory: Path, *words: str) -> str | None:
    """What git says on standard output; None without git, a repository or an answer in time."""
    try:
        done = _git(directory, words, TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def run_git(directory: Path, *words: str, timeout_s: float = 300.0) -> str:
    """The same for what has to succeed; raises UsageError with git's first line of complaint."""
    try:
        done = _git(directory, words, timeout_s)
    except FileNotFoundError:
        raise UsageError("git is not installed", "install it, or use commands instead") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"git {words[0]}: {error}", "check the repository") from None
    if done.returncode != 0:
        complaint = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise UsageError(f"{directory}: git {words[0]}: {complaint}", "check the repository")
    return done.stdout.strip()


def elsewhere() -> dict[str, str]:
    """This process's variables without those that bind git to one repository."""
    return {name: each for name, each in os.environ.items() if name not in OF_ONE_REPOSITORY}


def _git(
    directory: Path, words: tuple[str, ...], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(directory), *words],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        env={**elsewhere(), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        timeout=timeout_s,
        check=False,
    )


def short_commit(commit: str | None) -> str:
    """A commit as people read it, with what says that files were changed; `?` for none."""
    if not commit:
        return "?"
    name, _, rest = commit.partition("-")
    return name[:SHORT] + (f"-{rest}" if rest else "")


def user_name(directory: Path) -> str:
    """Whom git would name as the author of a commit here, else the account's name."""
    return ask_git(directory, "config", "user.name") or _account()


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without an entry, as in containers
        return f"uid {os.getuid()}"
