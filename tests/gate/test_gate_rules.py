"""Which row may decide, by how much it may be worse, and which way is worse."""

from __future__ import annotations

import math

import pytest

from harness.baseline import TOTAL
from harness.errors import UsageError
from harness.gate.rules import LEAST_TAIL, parse_rule, terms


@pytest.mark.parametrize(("requests", "thin"), [(99.0, True), (101.0, False)])
def test_a_tail_is_thin_below_five_requests_beyond_the_quantile(
    requests: float,
    thin: bool,  # noqa: FBT001 - what is expected
) -> None:
    assert LEAST_TAIL == 5
    assert terms("a", "p95", (), 0.05, requests, 1000).thin is thin
    assert terms("a", "p95", [parse_rule("a:p95=critical")], 0.05, requests, 1000).thin is False


@pytest.mark.parametrize(
    ("metric", "requests", "tolerance"),
    [
        ("p95", 1000.0, 0.05),
        ("p50", 1000.0, 0.05),
        ("p95", 250.0, 0.10),
        ("p99", 1000.0, 0.05 * math.sqrt(5)),
        ("p95", 0.01, 1.0),
        ("throughput", 1000.0, 0.05),
    ],
)
def test_the_tolerance_grows_with_the_root_of_what_is_missing(
    metric: str, requests: float, tolerance: float
) -> None:
    assert terms("a", metric, (), 0.05, requests, 1000).tolerance == pytest.approx(tolerance)


def test_rules_set_role_tolerance_and_direction_and_the_last_one_wins() -> None:
    rules = [
        parse_rule(t) for t in ("*:*=shown", "pay:p95=critical, 20%", "total:p50=gates,higher")
    ]
    pay = terms("pay", "p95", rules, 0.05, 1000, 1000)
    assert (pay.role, pay.tolerance, pay.lower_is_better) == ("critical", 0.2, True)
    assert terms("pay", "p50", rules, 0.05, 1000, 1000).role == "shown"
    assert terms(TOTAL, "p50", rules, 0.05, 1000, 1000).role == "gates"
    assert terms(TOTAL, "p50", rules, 0.05, 1000, 1000).lower_is_better is False
    assert terms("a", "error_ratio", [parse_rule("a:error_ratio=1%")], 1e-4, 9, 9).tolerance == 0.01


@pytest.mark.parametrize(
    "text",
    ["", "p95", "pay=critical", "pay:p95", "pay:p95=", ":p95=shown", "pay:p42=shown",
     "pay:p95=loud", "pay:p95=-5%", "pay:p95=0%", "pay:p95=nan", "pay:p95=shown,,"],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="--row"):
        parse_rule(text)
