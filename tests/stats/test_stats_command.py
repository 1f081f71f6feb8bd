"""`harness stats`: CSV in, a table or JSON out, or one clear line."""

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
    result = CliRunner().invoke(group, [*map(str, words), "--json"], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def csv(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def runs(path: Path, values: list[float]) -> Path:
    return csv(path, "run,value\n" + "".join(f"r{i},{v}\n" for i, v in enumerate(values)))


def shown(*words: str | Path) -> tuple[str, int]:
    """What a person sees, and the exit code."""
    result = CliRunner().invoke(group, [str(word) for word in words], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout, int(result.return_value or 0)


def metrics(path: Path, **values: list[float]) -> Path:
    rows = [f"{name},{i},{v}\n" for name, each in values.items() for i, v in enumerate(each)]
    return csv(path, "metric,run,value\n" + "".join(rows))


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
        (
            b'\n{"results": [{"times": [0.1, 0.2]}]}',
            "JSON, not CSV; write its values as rows under run,value",
        ),
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
        (b"run,value\n<<<<<<< HEAD\n1,2\n=======\n", "line 2: git left a conflict marker"),
        (b"run,value\n1,12ms\n", "'12ms' is not a number; write numbers without units"),
        (b"run,value\n1,12.5 %\n", "'12.5 %' is not a number; write numbers without units"),
        (b'run,value\n1,"1,234"\n', "no separator of thousands"),
        (b"run,value\n1,1.2.3.4x!\n", "mend the row"),
        (b"run,value,value\n1,2,3\n", "column 'value' twice"),
        (b"run,value\n1,\xff\n", "not UTF-8"),
        (b"metric,run,value\n,1,2\n", "metric is empty"),
        (b'run,value\n1,"1,234"\n', "line 2: value '1,234' is not a number"),
        (b"run;value\n1;1.234,5\n", "line 2: value '1.234,5' is not a number"),
        (b"run|value\n1|2\n", "no column 'run'"),
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


def test_a_date_of_another_form_is_refused_where_most_are_iso_dates(tmp_path: Path) -> None:
    mixed = csv(tmp_path / "a.csv", "index,value\n2026-03-01,1\n2026-01-01,2\n01/02/2026,3\n")
    with pytest.raises(DataError, match="01/02/2026"):
        run("changepoints", mixed)
    commits = csv(tmp_path / "b.csv", "index,value\n20260301,1\nab12,2\n")
    assert run("changepoints", commits) == []


def test_two_points_are_said_to_be_too_few(tmp_path: Path) -> None:
    for count, said in ((5, True), (6, False)):
        rows = "".join(f"{at},{at % 2 + 1}\n" for at in range(count))
        series = csv(tmp_path / f"{count}.csv", f"index,value\n{rows}")
        words = ["changepoints", str(series)]
        shown = CliRunner().invoke(group, words).stdout
        assert ("too few" in shown) is said


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


def test_a_suspected_change_is_in_the_table_and_in_json_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    values = 100 + np.linspace(0, 4, 20) + 0.7 * np.random.default_rng(3).standard_normal(20)
    path = csv(
        tmp_path / "s.csv", "index,value\n" + "\n".join(f"{i},{v}" for i, v in enumerate(values))
    )
    assert run("changepoints", path) == []
    (point,) = run("changepoints", path, "--suspected")
    assert point["grade"] == "suspected"
    assert "suspected" in shown("changepoints", path)[0]


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


def test_a_person_sees_a_table_with_percent_and_a_reason(tmp_path: Path) -> None:
    a, b = runs(tmp_path / "a.csv", BASE), runs(tmp_path / "b.csv", [1.2 * v for v in BASE])
    text, code = shown("compare", "--baseline", a, "--candidate", b)
    assert text.startswith("verdict  regression")
    assert "+20 %" in text
    assert "90 % interval" in text
    assert "worse beyond chance" in text
    assert code == 0


def test_half_the_throughput_is_a_regression_beside_a_latency_that_stays(tmp_path: Path) -> None:
    a = metrics(tmp_path / "a.csv", p95=BASE, throughput=[10 * v for v in BASE])
    b = metrics(tmp_path / "b.csv", p95=BASE, throughput=[5 * v for v in BASE])
    answer = run("compare", "--baseline", a, "--candidate", b)
    assert [(m["better"], m["verdict"]) for m in answer["metrics"]] == [
        ("lower", "no-change"),
        ("higher", "regression"),
    ]
    assert answer["verdict"] == "regression"


def test_the_direction_of_each_metric_can_be_named(tmp_path: Path) -> None:
    a = metrics(tmp_path / "a.csv", score=BASE, error_rps=BASE)
    b = metrics(tmp_path / "b.csv", score=[v / 2 for v in BASE], error_rps=BASE)
    words: list[str | Path] = ["compare", "--baseline", a, "--candidate", b]
    assert run(*words)["verdict"] == "improvement"
    assert run(*words, "--higher", "score")["verdict"] == "regression"
    assert run(*words)["metrics"][1]["better"] == "lower"
    with pytest.raises(DataError, match="no metric 'scores'"):
        run(*words, "--higher", "scores")


def test_a_metric_that_is_gone_or_renamed_is_named_and_costs_exit_code_3(tmp_path: Path) -> None:
    a = metrics(tmp_path / "a.csv", P95=BASE, q=BASE)
    b = metrics(tmp_path / "b.csv", p95=[2 * v for v in BASE], q=BASE)
    text, code = shown("compare", "--baseline", a, "--candidate", b)
    assert code == 3
    assert "Only in the baseline: P95" in text
    assert "Only in the candidate: p95" in text
    assert text.startswith("verdict  inconclusive")


def test_holm_decides_about_many_metrics(tmp_path: Path) -> None:
    one = [v * (1.02 if i % 2 else 0.985) for i, v in enumerate(BASE)]
    values = {f"m{i}": BASE for i in range(19)}
    a = metrics(tmp_path / "a.csv", **values, odd=one)
    b = metrics(tmp_path / "b.csv", **values, odd=[1.04 * v for v in one])
    answer = run("compare", "--baseline", a, "--candidate", b, "--margin", "1%")
    odd = next(m for m in answer["metrics"] if m["metric"] == "odd")
    assert odd["p_value"] < 0.05 < odd["p_holm"]
    assert (odd["verdict"], "Holm" in odd["reason"]) == ("inconclusive", True)


def test_a_metric_that_falls_to_zero_in_every_run_is_named(tmp_path: Path) -> None:
    a = runs(tmp_path / "a.csv", BASE)
    for zeros, named in (([0.0] * 3, True), ([0.0, 0.0, 1.0], False)):
        b = runs(tmp_path / "b.csv", zeros)
        text, _ = shown("compare", "--baseline", a, "--candidate", b)
        assert ("make sure that it was measured" in text) == named
    both = runs(tmp_path / "c.csv", [0.0] * 3)
    assert "measured" not in shown("compare", "--baseline", both, "--candidate", both)[0]


def test_a_run_whose_value_is_zero_among_others_is_named(tmp_path: Path) -> None:
    a = runs(tmp_path / "a.csv", [60.0, 61.0, 60.4, 59.8])
    b = runs(tmp_path / "b.csv", [0.0, 90.3, 91.1])
    text, _ = shown("compare", "--baseline", a, "--candidate", b)
    assert "1 of 3 candidate value is 0 and no baseline value is" in text
    assert "candidate value is 0" not in shown("compare", "--baseline", b, "--candidate", a)[0]


def test_semicolons_tabs_and_decimal_commas_are_read(tmp_path: Path) -> None:
    plain = runs(tmp_path / "a.csv", BASE)
    text = plain.read_text().replace(",", ";").replace(".", ",")
    for mark in (";", "\t"):
        odd = csv(tmp_path / "b.csv", text.replace(";", mark))
        answer = run("compare", "--baseline", plain, "--candidate", odd)
        assert answer["metrics"][0]["shift"] == 0


def test_dates_are_ordered_by_time(tmp_path: Path) -> None:
    values = 100 + np.random.default_rng(1).standard_normal(40)
    values[20:] += 10
    days = [f"2026-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(40)]
    rows = [f"{day},{v}" for day, v in zip(days, values, strict=True)]
    path = csv(tmp_path / "s.csv", "index,value\n" + "\n".join(reversed(rows)))
    (point,) = run("changepoints", path)
    assert (point["index"], point["position"]) == (days[20], 20)


def test_a_person_sees_the_steps_the_drift_or_that_there_is_none(tmp_path: Path) -> None:
    noise = np.exp(0.01 * np.random.default_rng(2).standard_normal(40))
    stepped, drifting = np.where(np.arange(40) < 20, 10, 15) * noise, 1.01 ** np.arange(40) * noise
    for values, says in ((stepped, "+50"), (drifting, "Drifts by +1"), (noise, "No change")):
        rows = "\n".join(f"{i},{v}" for i, v in enumerate(values))
        assert says in shown("changepoints", csv(tmp_path / "s.csv", "index,value\n" + rows))[0]


def test_a_person_sees_the_recovery_in_seconds(tmp_path: Path) -> None:
    text, _ = shown("recovery", recovering(tmp_path / "r.csv"), "--inject", "60", "--heal", "80")
    assert "30 s (29 to 30 s)" in text


def test_errors_that_are_allowed_are_no_impact(tmp_path: Path) -> None:
    rows = "\n".join(f"{t},{1 if t in (70, 71) else 0},1000" for t in range(120))
    path = csv(tmp_path / "r.csv", "t,errors,offered\n" + rows)
    answer = run("recovery", path, "--inject", "60", "--errors-allowed", "0.1%")
    assert answer["first_impact"] is None


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("requests_per_second", "higher"), ("requestsPerSec", "higher"), ("req/s", "higher"),
        ("RPS", "higher"), ("disk.iops", "higher"), ("cache_hit_ratio", "higher"),
        ("timeouts/s", "lower"), ("dropped_per_second", "lower"), ("success_latency_ms", "lower"),
        ("ErrorRate", "lower"), ("p95", "lower"), ("cpu_seconds", "lower"),
    ],
)  # fmt: skip
def test_a_metrics_name_tells_which_way_is_better(tmp_path: Path, name: str, better: str) -> None:
    a = metrics(tmp_path / "a.csv", **{name: BASE})
    assert run("compare", "--baseline", a, "--candidate", a)["metrics"][0]["better"] == better


def test_an_index_with_decimal_commas_is_ordered_by_its_numbers(tmp_path: Path) -> None:
    values = 100 + np.random.default_rng(1).standard_normal(40)
    values[20:] += 10
    rows = [f"{i / 2};{v:.3f}".replace(".", ",") for i, v in enumerate(values)]
    path = csv(tmp_path / "s.csv", "index;value\n" + "\n".join(reversed(rows)))
    (point,) = run("changepoints", path)
    assert point["index"] == 10.0
