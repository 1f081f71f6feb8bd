"""`harness gate --revisions`: the options of a gate on two programs, and what they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import DURATION
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.gate import GateVerdict
    from harness.gate.run import GateOptions
    from harness.platform.lab.own import OwnProgram

PAIRS = 10
"""Where --runs is not given: three pairs show no 5 % at the level of a claim."""

PROGRAM_OPTIONS = (
    click.option(
        "--revisions",
        metavar="BASE..HEAD",
        help="Compare two git revisions of the service side by side, without a baseline.",
    ),
    click.option(
        "--repository",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=".",
        help="Of the revisions; a directory within it is where commands run.",
    ),
    click.option("--build", metavar="CMD", help="Builds a revision, in its work tree."),
    click.option("--command", "start", metavar="CMD", help="Starts a revision, in its work tree."),
    click.option("--baseline-command", metavar="CMD", help="Starts the old program, from here."),
    click.option("--candidate-command", metavar="CMD", help="Starts the new one, from here."),
    click.option("--port-variable", default="PORT", help="Variable that tells a program its port."),
    click.option("--ready-path", help="Path that answers when it is ready (default: healthPath)."),
    click.option(
        "--ready-within",
        "ready_s",
        type=DURATION,
        default="60s",
        help="How long a program may take to answer there.",
    ),
)


@dataclass(frozen=True, slots=True)
class Programs:
    """What was said about two programs."""

    revisions: str | None
    repository: Path
    build: str | None
    start: str | None
    baseline_command: str | None
    candidate_command: str | None
    port_variable: str
    ready_path: str | None
    ready_s: float

    @classmethod
    def take(
        cls, words: dict[str, Any], others: Mapping[str, bool], usual: OwnProgram | None = None
    ) -> Programs | None:
        """Take the options out of the words of a command; None when no program was named.

        `usual` starts revisions where no command does: the program of harness.yaml.
        Raises UsageError when half of what is needed is missing, or when one of the `others`,
        which ask for another kind of gate, was given as well.
        """
        said = cls(**{item.name: words.pop(item.name) for item in fields(cls)})
        if usual is not None and usual.image is None and said.revisions and not said.start:
            ready_s = max(said.ready_s, usual.ready_within_s)
            said = replace(said, start=usual.command, port_variable=usual.port_env, ready_s=ready_s)
        commands = (said.baseline_command, said.candidate_command)
        if said.revisions is None and not any(commands):
            if said.start or said.build:
                raise UsageError("--command and --build start revisions", "add --revisions")
            return None
        if said.revisions is not None and any(commands):
            raise UsageError("--revisions and two commands exclude each other", "give one of them")
        if said.revisions is not None and not said.start:
            raise UsageError(
                "--revisions: nothing starts them", "add --command, e.g. --command 'npm start'"
            )
        if said.revisions is None and (not all(commands) or said.start or said.build):
            raise UsageError(
                "two programs need two commands and no more",
                "give --baseline-command and --candidate-command",
            )
        for other in (name for name, given in others.items() if given):
            raise UsageError(
                f"two programs and {other} exclude each other", "leave out one of them"
            )
        if not said.port_variable.isidentifier():
            raise UsageError(f"--port-variable {said.port_variable!r}", "give a name like PORT")
        return said

    def gate(self, options: GateOptions, output: Path, say: Callable[[str], None]) -> GateVerdict:
        """Make the pairs and compare them; logs go to `output`/logs."""
        from harness.gate.revisions import (
            Start,
            command_sides,
            gate_sides,
            refuse_place,
            revision_sides,
        )

        source = click.get_current_context().get_parameter_source("count")
        if source is click.core.ParameterSource.DEFAULT:
            options = replace(options, runs=PAIRS)
        refuse_place(options)  # before minutes of building
        how = Start(
            self.start or "",
            self.build,
            port_variable=self.port_variable,
            ready_path=self.ready_path,
            ready_s=self.ready_s,
        )
        service, logs = options.run.service, (output / "logs").resolve()
        if self.revisions is None:
            both = (self.baseline_command or "", self.candidate_command or "")
            return gate_sides(options, command_sides(*both, service, how), logs, say)
        place = (self.repository.resolve(), service, how, logs, say)
        with revision_sides(self.revisions, *place) as sides:
            return gate_sides(options, sides, logs, say)
