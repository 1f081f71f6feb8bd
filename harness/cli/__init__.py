"""The `harness` command: words in, an exit code out.

Each command lives in a module of its own and imports what it needs when it runs, so that
`harness --help` answers at once. Errors of the user become one line and exit code 2.
"""

import contextlib
import errno
import importlib
import signal
import sys
from collections.abc import Mapping, Sequence

import click

from harness import __version__
from harness.cli.deprecated import renamed
from harness.errors import EXIT_CODES, HarnessError, Interrupted
from harness.process import handle_signals, report_defect, silence
from harness.scratch import sweep
from harness.units import one_line

COMMANDS: Mapping[str, tuple[str, str]] = {
    "perf": ("harness.cli.perf:command", "Drive SERVICE, measure it honestly and judge it."),
    "init": ("harness.cli.init:command", "Write harness.yaml and scenario.py for a URL."),
    "import": (
        "harness.cli.importing:command",
        "Write a scenario from curl, HAR, access log or OpenAPI.",
    ),
    "gate": ("harness.cli.gate:command", "Compare SERVICE with its accepted runs."),
    "gameday": (
        "harness.cli.gameday:command",
        "Run experiments in sequence and judge them together.",
    ),
    "fleet": (
        "harness.cli.fleet:command",
        "Drive all services one after the other and judge them.",
    ),
    "baseline": ("harness.cli.baseline:group", "The runs that releases are compared with."),
    "history": (
        "harness.cli.history:command",
        "Show runs of SERVICE as a series, and where it changed.",
    ),
    "experiment": (
        "harness.cli.experiment:group",
        "Break one thing under load, prove it, undo it, judge it.",
    ),
    "fault": ("harness.cli.fault:group", "What can be broken, and what that needs."),
    "halt": ("harness.cli.reap:halt", "End every experiment and game day that runs here."),
    "reap": ("harness.cli.reap:command", "Undo the faults of runs that are gone."),
    "capacity": (
        "harness.cli.capacity:command",
        "Search for the highest rate that SERVICE carries.",
    ),
    "limits": ("harness.cli.limits:command", "Measure the rate limit of SERVICE and judge it."),
    "outage": (
        "harness.cli.outage:command",
        "Take each SERVICE down in the lab and see who suffers.",
    ),
    "runs": ("harness.cli.runs:runs", "List the recorded runs, newest first."),
    "show": ("harness.cli.runs:show", "Show a stored RUN."),
    "judge": ("harness.cli.runs:judge", "Judge a stored RUN anew, by the rules of this version."),
    "export": ("harness.cli.runs:export", "Print a stored RUN as OpenMetrics text."),
    "services": ("harness.cli.services:command", "List the services of the platform, or show one."),
    "scenarios": ("harness.cli.services:scenarios", "List the scenarios and the load profiles."),
    "load": ("harness.cli.load:command", "Drive SERVICE from pods in its cluster and judge it."),
    "scale-test": (
        "harness.cli.scale_test:command",
        "Raise the load on SERVICE and judge how it scales.",
    ),
    "lab": ("harness.cli.lab:group", "Start, look at and end the embedded lab."),
    "stats": ("harness.cli.stats:group", "Compare runs, find change points, time recoveries."),
}
"""Where each is, and what `harness --help` says of it: importing all to ask them takes longer."""


READER_LEFT = 128 + signal.SIGPIPE
"""The exit code after `harness runs | head`, as of every other tool; never one of a verdict."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

REFUSED = frozenset(
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR,
        errno.EISDIR, errno.EMFILE, errno.ENFILE,
    }
)  # fmt: skip
"""What a path or a limit of the user's can cause, wherever it was met."""


class _Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, [renamed(name, argument) for argument in rest]


_CODES = "\n".join(f"{code:5}  {meaning}" for code, meaning in EXIT_CODES.items())


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=f"\b\nExit codes:\n{_CODES}",
)
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Load, chaos and performance testing that refuses to report what it cannot know."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (see EXIT_CODES) and lets nothing out."""
    handle_signals()
    sweep()
    result: object
    try:
        result = cli.main(args=argv, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Exit as stop:
        result = stop.exit_code
    except click.ClickException as problem:
        result = _misused(problem)
    except (Interrupted, KeyboardInterrupt, click.Abort) as stop:
        _say(f"interrupted; {stop}" if str(stop) else "interrupted")
        result = Interrupted.exit_code
    except HarnessError as problem:
        _say(str(problem))
        result = problem.exit_code
    except (BrokenPipeError, SystemExit):  # the latter is what click and rich make of the former
        _drop_output()
        result = READER_LEFT
    except OSError as problem:
        result = _refused(problem)
    except ValueError as error:
        result = _with_a_nul(error)
    except Exception as error:  # noqa: BLE001 - a crash must not look like a verdict
        result = report_defect(error)
    return result if isinstance(result, int) else 0


def _misused(problem: click.ClickException) -> int:
    context = getattr(problem, "ctx", None)
    where = context.command_path if context else "harness"
    _say(f"{problem.format_message().rstrip('.')}; see: {where} --help")
    return HarnessError.exit_code


def _refused(problem: OSError) -> int:
    """The exit code where the operating system says no: to a full disk under the output, a path."""
    if problem.errno in NO_ROOM:
        _drop_output()
        _say("cannot print: No space left on device; free some space")
        return HarnessError.exit_code
    if problem.errno not in REFUSED:
        return report_defect(problem)
    what = f"{problem.filename}: " if problem.filename else ""
    _say(f"{what}{problem.strerror}; check the path and its permissions")
    return HarnessError.exit_code


def _with_a_nul(problem: ValueError) -> int:
    """The exit code where a path holds NUL, as those of a file may, wherever it was met."""
    if "embedded null" not in str(problem):
        return report_defect(problem)
    _say("a path holds a NUL character; check those of harness.yaml and of the options")
    return HarnessError.exit_code


def _say(text: str) -> None:
    click.echo(f"harness: {one_line(text)}", err=True)


def _drop_output() -> None:
    """What is still buffered goes nowhere; else Python fails on it on the way out."""
    with contextlib.suppress(OSError, ValueError):
        silence(sys.stdout.fileno())
