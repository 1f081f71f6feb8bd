"""The `harness` command: words in, an exit code out.

Each command lives in a module of its own and imports what it needs when it runs, so that
`harness --help` answers at once. Errors of the user become one line and exit code 2.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

from harness import __version__
from harness.errors import HarnessError, Interrupted

COMMANDS = {
    "perf": "harness.cli.perf:command",
    "gate": "harness.cli.gate:command",
    "gameday": "harness.cli.gameday:command",
    "baseline": "harness.cli.baseline:group",
    "history": "harness.cli.history:command",
    "experiment": "harness.cli.experiment:group",
    "reap": "harness.cli.reap:command",
    "capacity": "harness.cli.capacity:command",
    "runs": "harness.cli.runs:runs",
    "show": "harness.cli.runs:show",
    "export": "harness.cli.export:command",
    "services": "harness.cli.services:command",
    "scenarios": "harness.cli.scenarios:command",
    "load": "harness.cli.load:command",
    "scale-test": "harness.cli.scale_test:command",
    "lab": "harness.cli.lab:group",
    "stats": "harness.cli.stats:group",
}


READER_LEFT = 128 + signal.SIGPIPE
"""The exit code after `harness runs | head`, as of every other tool; never one of a verdict."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Load, chaos and performance testing that refuses to report what it cannot know.

    Exit codes: 0 pass, 1 fail, 2 usage, 3 inconclusive, 4 invalid, 130 interrupted.
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code and never lets a user's error out."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, as by nohup
        signal.signal(signal.SIGINT, _interrupt)
    try:
        result = cli.main(args=argv, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as problem:
        context = getattr(problem, "ctx", None)
        where = context.command_path if context else "harness"
        text = problem.format_message().rstrip(".")
        click.echo(f"harness: {text}; see: {where} --help", err=True)
        return HarnessError.exit_code
    except (Interrupted, KeyboardInterrupt, click.Abort) as stop:
        detail = f"; {stop}" if str(stop) else ""
        click.echo(f"harness: interrupted{detail}", err=True)
        return Interrupted.exit_code
    except HarnessError as problem:
        click.echo(f"harness: {problem}", err=True)
        return problem.exit_code
    except (OSError, SystemExit) as problem:
        return _without_output(problem)
    return result if isinstance(result, int) else 0


def _without_output(problem: OSError | SystemExit) -> int:
    """The exit code where standard output takes no more; raises again what is another matter.

    A SystemExit is what click and rich make of a broken pipe.
    """
    full = isinstance(problem, OSError) and problem.errno in NO_ROOM
    if not full and not isinstance(problem, (BrokenPipeError, SystemExit)):
        raise problem
    with contextlib.suppress(OSError, ValueError):  # else Python fails on it on the way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not full:
        return READER_LEFT
    click.echo("harness: cannot print: No space left on device; free some space", err=True)
    return HarnessError.exit_code


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C, of a kind that Python takes for handled once it is.

    A bare KeyboardInterrupt out of an `exec`, as every dataclass is made with, ends the process
    by the signal instead of with our exit code, though it was caught.
    """


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C, so that both clean up alike."""
    raise _Interrupt
