"""What the pages show is so: their examples run, their commands, files and links are there."""

from __future__ import annotations

import re
import shlex
from functools import cache
from itertools import takewhile
from pathlib import Path

import click
import pytest

from harness.cli import cli
from tests.docs.pages import PAGES, ROOT, ScratchProject, blocks, documented, name_of

RUN = [page for page in PAGES if any("test" in block.words for block in blocks(page))]
SLOW = [page for page in PAGES if any("slow" in block.words for block in blocks(page))]
PATH = re.compile(
    r"`((?:\.ci|baselines|benchmarks|deploy|docs|engine|experiments|harness|scenarios|scripts"
    r"|services|tests)/[\w./*-]*)`"
)
"""A path of the project in a sentence."""
MADE = {block.file for page in PAGES for block in blocks(page)}
"""Files that the examples of the how-to pages make."""

OTHERS = ("kubectl ", "git ", "make ", "python ", ".venv/bin/python ")
"""Programs whose options are their own affair."""

OF_PARTS = frozenset({"--serve", "--master-host", "--master-port"})
OF_OTHERS = frozenset({"--queue-bypass", "--user", "--group"})
"""Options of the load process; of iptables and kubectl, where a sentence names them alone."""

PLACEHOLDERS = {"NAME", "SERVICE", "RUN"}


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_examples_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    with ScratchProject(tmp_path) as project:
        for block in blocks(page):
            if "test" in block.words:
                project.carry_out(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=name_of)
def test_the_examples_that_drive_a_load_run_as_well(page: Path, tmp_path: Path) -> None:
    with ScratchProject(tmp_path) as project:
        for block in blocks(page):
            if {"test", "slow"} & set(block.words):
                project.carry_out(block)


def _known_options(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}


@pytest.mark.parametrize(("page", "line"), documented("harness "))
def test_every_documented_harness_command_parses(page: str, line: str) -> None:
    """Each word after `harness` is a command, and each option one of its options."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    words = list(takewhile(lambda word: not set(word) <= set("|&;>"), lexer))[1:]
    if words[0].startswith("--"):
        return
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"{line}: no command {words[0]}"
    if isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words[1])
        assert command is not None, f"{line}: no command {words[1]}"
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert options <= _known_options(command), line


@pytest.mark.parametrize(("page", "line"), documented("make "))
def test_every_documented_make_target_exists(page: str, line: str) -> None:
    target = shlex.split(line)[1]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), line


@cache
def _all_options() -> set[str]:
    """Of all commands and their subcommands."""
    commands: list[click.Command] = [cli]
    for command in commands:
        if isinstance(command, click.Group):
            context = click.Context(command)
            inner = (command.get_command(context, each) for each in command.list_commands(context))
            commands.extend(each for each in inner if each is not None)
    return set().union(*map(_known_options, commands))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_that_a_sentence_names_is_one_of_a_command(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    spans = [span for line in lines for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", line)]
    spans = [span for span in spans if not span.startswith(OTHERS)]
    options = {option for span in spans for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", span)}
    assert options <= _all_options() | OF_PARTS | OF_OTHERS


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_and_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link
    for path in PATH.findall(text):
        if path not in MADE and not PLACEHOLDERS & set(re.split(r"[/.]", path)):
            assert list(ROOT.glob(path.rstrip("/"))), path


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
