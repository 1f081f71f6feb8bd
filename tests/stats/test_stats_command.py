"""`harness stats`: CSV in, JSON out, or one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli.stats import group
from harness.errors import DataError


def run(*words: str | Path) -> Any:
    """The JSON that a command prints; its error is raised."""
    result = CliRunner().invoke(group, [str(word) for word in words], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def csv(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def runs(path: Path, values: list[float]) -> Path:
    return csv(path, "run,value\n" + "".join(f"r{i},{v}\n" for i, v in enumerate(values)))


BASE = [100.0, 101, 99, 100.5, 99.5]


def test_compare_answers_per_metric(tmp_path: Path) -> None:
    header = "metric,run,value\n"
    a = csv(
        tmp_path / "a.csv",
        header + "".join(f"p50,{i},{v}\np95,{i},{2 * v}\n" for i, v in enumerate(BASE)),
    )
    b = csv(
        tmp_path / "b.csv",
        header + "".join(f"p50,{i},{v}\np95,{i},{2.3 * v}\n" for i, v in enumerate(BASE)),
    )
    answer = run("compare", "--baseline", a, "--candidate", b)
    p50, p95 = answer["metrics"]
    assert (p50["metric"], p50["verdict"]) == ("p50", "no-change")
    assert (p95["verdict"], round(p95["shift"], 3)) == ("regression", 0.15)
    assert p95["interval"][0] < 0.15 < p95["interval"][1]
    assert {"detectable", "runs_needed", "p_value", "p_holm"} <= p95.keys()
    assert answer["verdict"] == "regression"


def test_higher_is_better_turns_the_verdict(tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a.csv", BASE), runs(tmp_path / "b.csv", [1.2 * v for v in BASE])
    answer = run("compare", "--baseline", a, "--candidate", b, "--higher-is-better")
    assert answer["verdict"] == "improvement"


def test_several_values_of_a_run_are_one_run(tmp_path: Path) -> None:
    a = csv(tmp_path / "a.csv", "run,value\n" + "x,1\nx,2\nx,3\ny,2\n" * 100)
    answer = run("compare", "--baseline", a, "--candidate", a)
    assert answer["metrics"][0]["baseline_runs"] == 2
    assert answer["metrics"][0]["shift"] == 0


def test_line_ends_a_byte_order_mark_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    plain = runs(tmp_path / "a.csv", BASE)
    text = "\ufeff" + plain.read_text().replace("\n", "\r\n") + "\r\n\r\n"
    odd = csv(tmp_path / "b.csv", text.replace("run,value", " Run , VALUE "))
    assert run("compare", "--baseline", plain, "--candidate", odd)["verdict"] == "no-change"


def test_one_run_a_side_is_inconclusive(tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a.csv", [100.0]), runs(tmp_path / "b.csv", [200.0])
    metric = run("compare", "--baseline", a, "--candidate", b)["metrics"][0]
    assert (metric["verdict"], metric["interval"], metric["runs_needed"]) == (
        "inconclusive",
        None,
        None,
    )


def test_a_script_can_ask_for_the_verdict_as_exit_code(tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a.csv", BASE), runs(tmp_path / "b.csv", [1.2 * v for v in BASE])
    words = ["compare", "--baseline", str(a), "--candidate", str(b), "--exit-code"]
    assert CliRunner().invoke(group, words, standalone_mode=False).return_value == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"run,value\n", "no rows"),
        (b"run,speed\n1,2\n", "no column 'value'"),
        (b"run,value\n1,nan\n", "line 2: value is nan"),
        (b"run,value\n1,2\n2,-inf\n", "line 3: value is -inf"),
        (b"run,value\n1,1e999\n", "line 2: value is 1e999"),
        (b"run,value\n1,1e308\n2,-1e308\n", "line 2: value is 1e308"),
        (b"run,value\n1,\n", "line 2: value '' is not a number"),
        (b"run,value\n1,ten\n", "line 2: value 'ten' is not a number"),
        (b"run,value\n,1\n", "line 2: run is empty"),
        (b"run,value\n1,2,3\n", "line 2: 3 cells under 2 columns"),
        (b"run,value,value\n1,2,3\n", "column 'value' twice"),
        (b"run,value\n1,\xff\n", "not UTF-8"),
        (b"metric,run,value\n,1,2\n", "metric is empty"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, content: bytes, says: str) -> None:
    good, bad = runs(tmp_path / "good.csv", BASE), tmp_path / "bad.csv"
    bad.write_bytes(content)
    with pytest.raises(DataError) as caught:
        run("compare", "--baseline", good, "--candidate", bad)
    assert says in str(caught.value)
    assert "bad.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_or_a_missing_file_is_one_line(tmp_path: Path) -> None:
    good = runs(tmp_path / "good.csv", BASE)
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(DataError, match="CSV file"):
            run("compare", "--baseline", good, "--candidate", path)


def test_files_without_a_common_metric_are_refused(tmp_path: Path) -> None:
    a = csv(tmp_path / "a.csv", "metric,run,value\np50,1,2\n")
    with pytest.raises(DataError, match="share no metric"):
        run("compare", "--baseline", a, "--candidate", runs(tmp_path / "b.csv", BASE))


def test_change_points_carry_index_and_label(tmp_path: Path) -> None:
    values = 100 + np.random.default_rng(1).standard_normal(60)
    values[30:] += 10
    rows = [f"{1000 + i},{v},commit{i}" for i, v in enumerate(values)]
    path = csv(tmp_path / "s.csv", "index,value,label\n" + "\n".join(reversed(rows)))
    (point,) = run("changepoints", path)
    assert (point["index"], point["position"], point["label"]) == (1030, 30, "commit30")
    assert point["interval"][0] < 0.1 < point["interval"][1]
    assert point["confidence"] > 0.99


def test_an_unchanged_series_is_an_empty_list(tmp_path: Path) -> None:
    path = csv(tmp_path / "s.csv", "index,value\na,1\nb,1\n")
    assert run("changepoints", path) == []


def test_a_level_that_cannot_be_is_named_as_the_option(tmp_path: Path) -> None:
    path = csv(tmp_path / "s.csv", "index,value\n1,1\n")
    with pytest.raises(DataError, match=r"^--alpha is 0"):
        run("changepoints", path, "--alpha", "0")


def test_an_index_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = csv(tmp_path / "s.csv", "index,value\n1,1\n1,2\n")
    with pytest.raises(DataError, match="index 1 comes twice"):
        run("changepoints", path)


def recovering(path: Path, *, until: int = 90) -> Path:
    lines = ["t,latency,errors,throughput"]
    for t in range(180):
        down = 62 <= t < until
        lines.append(
            f"{t},{'' if down else 0.1 + t % 5 / 1000},{9 if down else 0},{0 if down else 100}"
        )
    return csv(path, "\n".join(lines))


def test_recovery_is_told_from_the_injection(tmp_path: Path) -> None:
    answer = run("recovery", recovering(tmp_path / "r.csv"), "--inject", "60", "--heal", "80")
    assert (answer["first_impact"], answer["detection"]) == (2, 5)
    assert answer["recovery"] == {
        "estimate": 30,
        "low": 29,
        "high": 30,
        "censored": False,
        "after_heal": 10,
    }


def test_no_recovery_is_censored_and_says_how_long_was_waited(tmp_path: Path) -> None:
    answer = run("recovery", recovering(tmp_path / "r.csv", until=999), "--inject", "60")
    assert answer["recovery"]["censored"] is True
    assert answer["recovery"]["estimate"] is None
    assert answer["recovery"]["low"] == 120


def test_a_recovery_series_that_cannot_be_judged_names_its_file(tmp_path: Path) -> None:
    path = recovering(tmp_path / "r.csv")
    bare = csv(tmp_path / "bare.csv", "t\n1\n")
    for words in ((path, "--inject", "3"), (path, "--inject", "nan"), (bare, "--inject", "3")):
        with pytest.raises(DataError):
            run("recovery", *words)
