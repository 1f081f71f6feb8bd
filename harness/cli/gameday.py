"""`harness gameday`: every experiment in sequence, one scorecard."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.experiment import confirm, run_options_of, where_options
from harness.cli.options import BASELINES, GUARD_OPTIONS, PROMETHEUS_OPTION, with_options
from harness.cli.options import parameters as parameters_of
from harness.cli.output import print_json

if TYPE_CHECKING:
    from harness.chaos.model import Experiment
    from harness.gameday.model import Entry


def _names(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """`--experiments a,b --experiments c`; given without a name it would mean all of them."""
    for word in words:
        if not all(name.strip() for name in word.split(",")):
            raise click.BadParameter(f"{word!r} names no experiment somewhere", ctx, param)
    return tuple(name.strip() for word in words for name in word.split(","))


@click.command("gameday")
@where_options
@PROMETHEUS_OPTION
@with_options(*GUARD_OPTIONS)
@click.option(
    "--experiments",
    multiple=True,
    callback=_names,
    metavar="NAME[,NAME]",
    help="Which experiments, in this order; may be given again (default: all but the extended).",
)
@click.option(
    "--extended",
    is_flag=True,
    help="Without names: also the experiments with the tag `extended` (some five minutes more).",
)
@click.option(
    "--set",
    "parameters",
    multiple=True,
    callback=parameters_of,
    metavar="NAME=VALUE",
    help="A parameter, for every experiment that has it; may be given again.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 100),
    default=1,
    help="How often each experiment is run: recovery times become a distribution.",
)
@click.option(
    "--accept", is_flag=True, help="Store the passing runs, for later game days to compare with."
)
@BASELINES
@click.option("--yes", is_flag=True, help="Do not ask before a platform other than the lab is hit.")
@click.option("--json", "as_json", is_flag=True, help="Print the scorecard as JSON on stdout.")
def command(
    *,
    experiments: tuple[str, ...],
    extended: bool,
    parameters: dict[str, Any],
    repeat: int,
    accept: bool,
    baselines: Path | None,
    yes: bool,
    as_json: bool,
    mutants: tuple[str, ...],
    **words: Any,
) -> int:
    """Run experiments in sequence on one deployment, with the steady state checked between them.

    It stops at the first that does not heal. Ctrl-C heals. Exit codes: 0 all passed, 1 one failed,
    3 one is in doubt, 4 one could not be measured.
    """
    from harness.gameday.model import GameDayOptions
    from harness.gameday.run import Listener, run_gameday
    from harness.report.gameday import print_gameday, runs_of
    from harness.report.gameday_files import write_gameday

    options = GameDayOptions(
        run=run_options_of(mutants=mutants, **words),
        experiments=experiments,
        extended=extended,
        repeat=repeat,
        mutants=mutants,
        parameters=parameters,
        baselines=baselines,
        accept=accept,
    )
    confirm(options.run.service, options.run.platform, "hold a game day for it", yes=yes)
    progress = Progress()
    listener = Listener(progress.say, progress.begin, progress.hear, progress.end, write_gameday)
    day, directory = run_gameday(options, listener)
    if as_json:
        shown = day.as_dict() | {"runs": runs_of(day, directory.parents[1])}
        print_json(shown)
    else:
        print_gameday(day, sys.stdout)
        click.echo(f"report  {directory / 'report.html'}")
    return day.exit_code


class Progress:
    """What goes on, on standard error: a line for each event, a running clock on a terminal."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._live = sys.stderr.isatty()
        self._name = ""

    def say(self, text: str) -> None:
        """A line of the harness itself."""
        self._line(text)

    def begin(self, number: int, total: int, experiment: Experiment) -> None:
        """The next experiment."""
        self._name = experiment.name
        stages = experiment.timeline
        about = stages.before_s + stages.during_s + stages.after_s
        head = click.style(f"[{number}/{total}] {experiment.name}", bold=True)
        self._line(f"{head}: {experiment.title} (about {about:.0f} s)")

    def hear(self, message: Mapping[str, object]) -> None:
        """One message of the running experiment."""
        kind, what, at = message["type"], message.get("what"), message.get("t") or 0.0
        if kind == "chaos" and what in {"injected", "inject_failed", "healed", "heal_failed"}:
            detail = message.get("detail") or message.get("kind") or ""
            self._line(f"    {at:5.1f} s  {what.replace('_', ' ')} {detail}")
        elif kind == "chaos" and what in {"abort", "halt"}:
            told = "aborted: " if what == "abort" else ""
            self._line(f"    {at:5.1f} s  {told}{message.get('detail')}")
        elif kind == "tick" and self._live:
            failed, waiting = message.get("failed", 0), message.get("in_flight", 0)
            text = f"    {at:5.1f} s  {failed:,} failed, {waiting:,} under way"
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)

    def end(self, entry: Entry) -> None:
        """An experiment's word."""
        from harness.report.gameday import NO_IMPACT, recovered
        from harness.report.terminal import COLOURS

        colour = COLOURS.get(entry.outcome, "white")
        word = click.style(entry.outcome.upper(), fg=colour if colour != "dim" else None, bold=True)
        why = f": {entry.reasons[0]}" if entry.reasons and entry.outcome != "pass" else ""
        text = recovered(entry)
        text = text if text == NO_IMPACT else f"recovered in {text}"
        tail = f", {text}" if entry.outcome == "pass" else ""
        self._line(f"    {word}{tail}{why}")

    def _line(self, text: str) -> None:
        clock = time.monotonic() - self._began
        start = "\r\x1b[K" if self._live else ""
        click.echo(f"{start}{int(clock // 60):2d}:{int(clock % 60):02d} {text}", err=True)
