"""The drawing of the report's charts."""

from __future__ import annotations

from matplotlib.ticker import FuncFormatter

from harness.report import charts


def test_the_labels_of_a_plain_chart_are_within_it_up_to_a_hundred_thousand_requests_a_second() -> (
    None
):
    with charts.drawing(2.6, plain=True) as (figure, _):
        axes = figure.subplots()
        axes.plot([0, 30], [0, 100_000], label="offered")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        axes.set_ylabel("requests/s")
        axes.set_xlabel("seconds from the start")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.06), borderaxespad=0)
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= height
