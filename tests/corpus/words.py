"""Words for the options of a command: by an option's type, those that it takes and those not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import click
from hypothesis import strategies as st

from harness.cli import COMMANDS, cli

Kind = Literal["valid", "invalid", "any"]
"""Whether a case must be taken, must be refused, or must only end well."""

Words = st.SearchStrategy[str]

NONSENSE: Words = st.one_of(
    st.sampled_from(["", " ", "~", "%", "/", "s", "k", "-", "--", "\x00", "\x1b[31m", "ü" * 300]),
    st.text("abx%/:{}[]&*!'\x00é ", min_size=1, max_size=30),
)
"""No number, duration, rate, share or name of a choice has only such characters."""

ANYTHING: Words = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", " ", "[", "{", "*a", "!!binary x", "!!python/object:os.system x", "2020-02-31", ".nan",
         "-.inf", "[" * 5000, "9" * 5000, "a" * 6000, "../../x", "/dev/zero", "http://a..b", "\x00",
         "http://[::1", "http://127.0.0.1:99999/", "\udcff", "<b>", "\x1b[31m", "%s", "${HOME}"]
    ),
)  # fmt: skip

_NUMBER = st.integers(1, 900).map(str)
BY_NAME: dict[str, tuple[Words, Words]] = {
    "duration": (
        st.one_of(st.integers(10, 900).map(lambda n: f"{n}s"), st.integers(1, 9).map("{}m".format)),
        st.one_of(NONSENSE, st.sampled_from(["-5s", "1 s 2", "5 parsecs", "1e3s", "nan", "s5"])),
    ),
    "rate": (
        st.tuples(_NUMBER, st.sampled_from(["", "/s", ".5"])).map("".join),
        st.one_of(NONSENSE, st.sampled_from(["-5", "nan", "inf", "1e3", "10/day", "5k/k", "1,5"])),
    ),
    "share": (
        st.one_of(st.integers(1, 40).map("{}%".format), st.floats(0.01, 0.4).map("{:.4f}".format)),
        st.one_of(NONSENSE, st.sampled_from(["101%", "-1", "2", "nan", "inf", "5 %%", "1e9"])),
    ),
    "float": (
        st.integers(1, 100).map(str),
        st.one_of(NONSENSE, st.sampled_from(["1,5", "0x10", "five"])),
    ),
    "integer": (
        st.integers(0, 2**31).map(str),
        st.one_of(NONSENSE, st.sampled_from(["1.5", "1e3", "0x10", "five", "1 2"])),
    ),
    "json": (
        st.just("{}"),
        st.one_of(NONSENSE, st.sampled_from(["[]", "1", "null", '"a"', "[" * 9000, "{" * 9000])),
    ),
    "objective": (
        st.sampled_from(["p95 < 80ms", "p99 < 1s", "errors < 0.5%"]),
        st.one_of(NONSENSE, st.sampled_from(["p95", "p95 > 80ms", "p0 < 1s", "errors < 200%"])),
    ),
}  # fmt: skip
"""Type of an option -> words that it takes, and words that it does not."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of one command."""

    command: str
    word: str
    valid: Words | None
    invalid: Words | None
    is_flag: bool

    @property
    def key(self) -> str:
        """`perf --rate`."""
        return f"{self.command} {self.word}"


def options() -> Iterator[Option]:
    """Every option of every command."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield from _options(name, command)


def _options(path: str, command: click.Command) -> Iterator[Option]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from _options(f"{path} {name}", inner)
        return
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.opts != ["--help"]:
            valid, invalid = _words(parameter)
            word = max(parameter.opts, key=len)
            yield Option(path, word, valid, invalid, parameter.is_flag)


def _words(option: click.Option) -> tuple[Words | None, Words | None]:
    kind = option.type
    if option.is_flag:
        return None, None
    if isinstance(kind, click.Choice):
        return st.sampled_from([str(each) for each in kind.choices]), NONSENSE
    if isinstance(kind, click.IntRange):
        least, most = kind.min, kind.max
        low = 0 if least is None else int(least)
        high = low + 50 if most is None else min(int(most), low + 50)
        beyond = [str(low - 1)] if least is not None else []
        beyond += [str(int(most) + 1), "9" * 400] if most is not None else []
        _, invalid = BY_NAME["integer"]
        wrong = st.one_of(invalid, st.sampled_from(beyond)) if beyond else invalid
        return st.integers(low, high).map(str), wrong
    return BY_NAME.get(kind.name, (None, None))
