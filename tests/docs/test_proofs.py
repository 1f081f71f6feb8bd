"""`make proofs`: every proof can be named and listed, and one that fails is not hidden."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks.proofs import PROOFS, main


@pytest.mark.parametrize("name", PROOFS)
def test_each_proof_consists_of_modules_that_exist(name: str) -> None:
    proof = PROOFS[name]
    for command in (*proof.commands, *proof.after):
        module = command.split()[0]
        assert importlib.util.find_spec(module) is not None, command


def test_the_list_names_each_proof(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    assert all(line.split()[0] in PROOFS for line in out.splitlines())
    assert len(out.splitlines()) == len(PROOFS)


def test_a_command_that_fails_is_named_and_ends_its_proof_but_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[str] = []

    def run(command: str) -> int:
        ran.append(command)
        return int(command == "tests.kubernetes.cluster up")

    assert main(["cluster-crashes", "stats"], run) == 1
    assert ran == [
        "tests.kubernetes.cluster up",
        "tests.kubernetes.cluster down",
        "benchmarks.stats",
    ]
    assert "cluster-crashes: python -m tests.kubernetes.cluster up" in capsys.readouterr().err
