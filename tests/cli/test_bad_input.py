"""Whatever a user or a file says, a command ends with a documented code and one line, no crash.

Generated: parameters, URLs, kubeconfigs, experiment files, and records with one value replaced.
"""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli import run
from harness.errors import PlatformError
from harness.judge import judge
from harness.judge.stored import keep_verdict
from harness.platform.url import Url
from tests.corpus.files import VALUES, Form, replace_value
from tests.record.synthetic import Made, plan, record

QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JUDGED = {0, 1, 3, 4}

WORDS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["[", "{", "*a", "&a", "!!binary x", "!!python/object:os.system x", "2020-02-31", ".nan",
         "-.inf", "? a", "'", "[" * 1200, "9" * 5000, "", " ", "~", "[1]", "{a: b}", "a" * 6000]
    ),
)  # fmt: skip


def _ends_well(words: list[str], capsys: pytest.CaptureFixture[str], codes: set[int]) -> int:
    """Run it in this process: the code is allowed, and a refusal is one line with its subject."""
    code = run(words)
    said = capsys.readouterr().err
    assert code in codes | {2}, said
    if code == 2:
        last = said.splitlines()
        assert sum(line.startswith("harness: ") for line in last) == 1
        assert last[-1].startswith("harness: ")
        assert len(last[-1]) <= 1_100
    return code


@QUICK
@given(WORDS)
def test_a_parameter_is_understood_or_refused(
    capsys: pytest.CaptureFixture[str], word: str
) -> None:
    words = ["experiment", "show", "kill-replica", "--set", f"region={word}"]
    _ends_well(words, capsys, {0})


@QUICK
@given(WORDS)
def test_behaviour_that_is_no_object_is_refused(
    capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert _ends_well(["perf", "memorai", f"--behaviour=[{word}"], capsys, set()) == 2


@QUICK
@given(WORDS)
def test_names_of_everything_may_be_anything(capsys: pytest.CaptureFixture[str], word: str) -> None:
    name = f"no-such-{word}"
    for words in (["show", name], ["experiment", "show", name], ["services", name], [name]):
        assert _ends_well(words, capsys, set()) == 2


@QUICK
@given(st.one_of(st.text(), st.from_regex(r"https?://[^/]{0,30}", fullmatch=True)))
def test_a_target_is_a_url_or_refused(text: str) -> None:
    with suppress(PlatformError):
        assert Url(text).url.lower().startswith(("http://", "https://"))


@QUICK
@given(WORDS, st.sampled_from(["{}", "a: {}", "contexts: {}", "current-context: {}"]))
def test_a_kubeconfig_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, form: str
) -> None:
    file = tmp_path / "config"
    file.write_text(form.format(word), encoding="utf-8", errors="replace")
    words = ["reap", "--platform", "kubernetes", "--namespace", "x", "--kubeconfig", str(file)]
    assert _ends_well(words, capsys, set()) == 2


@QUICK
@given(WORDS)
def test_an_experiment_file_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(f"title: t\nmethod: {word}\n", encoding="utf-8", errors="replace")
    assert _ends_well(["experiment", "show", str(file)], capsys, set()) == 2


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = record(tmp_path_factory.mktemp("results"), Made(plan=plan(hold_s=12.0)))
    keep_verdict(judge(found), found.directory)
    return found.directory


@settings(QUICK, max_examples=60)
@given(
    st.sampled_from(["run.json", "slices.jsonl", "events.jsonl", "verdict.json"]),
    st.integers(0, 10**6),
    VALUES,
    st.sampled_from(["show", "runs", "export", "judge"]),
)
def test_a_record_with_one_value_replaced_is_read_or_refused(
    sound: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    seed: int,
    value: Any,
    command: str,
) -> None:
    directory = tmp_path / "memorai" / sound.name
    shutil.rmtree(tmp_path / "memorai", ignore_errors=True)
    shutil.copytree(sound, directory)
    form: Form = "lines" if name.endswith("l") else "json"
    replace_value(directory / name, form, random.Random(seed), value)  # noqa: S311 - no secret
    words = [command, "--results", str(tmp_path)]
    words += ["memorai"] if command == "runs" else [str(directory)]
    _ends_well(words, capsys, JUDGED if command == "judge" else {0})
