"""Charts of values over time: positions, gaps, stacking, and the table behind them."""

from __future__ import annotations

from church.web.charts import HEIGHT, TOP, Series, Span, draw_bars, draw_lines, draw_spark, draw_stacked, units

_SECOND = 1_000_000
_SPAN = Span(0, 100 * _SECOND, 10)


def _points(**values: float | None) -> list[tuple[int, float | None]]:
    return [(int(at[1:]) * _SECOND, value) for at, value in values.items()]


def test_line_is_drawn_from_left_to_right_below_the_top_value() -> None:
    chart = draw_lines([Series("a", _points(t0=0, t10=4, t20=2))], _SPAN, units.COUNT)
    assert [line.path for line in chart.lines] == [f"M0 {HEIGHT:g} 100 {TOP:g} 200 93"]
    assert [row.words for row in chart.rows] == ["0", "1", "2", "3", "4"]


def test_line_has_a_gap_where_a_value_is_missing_or_none() -> None:
    missing = draw_lines([Series("a", _points(t0=1, t10=1, t50=1, t60=1))], _SPAN, units.COUNT)
    none = draw_lines([Series("a", _points(t0=1, t10=1, t20=None, t30=1, t40=1))], _SPAN, units.COUNT)
    assert missing.lines[0].path == "M0 6 100 6M500 6 600 6"
    assert none.lines[0].path == "M0 6 100 6M300 6 400 6"


def test_lone_value_between_gaps_is_a_dot() -> None:
    chart = draw_lines([Series("a", _points(t0=None, t50=1))], _SPAN, units.COUNT, area=True)
    assert (chart.lines[0].path, chart.lines[0].area) == ("M500 6h0", "")


def test_area_reaches_down_to_zero() -> None:
    chart = draw_lines([Series("a", _points(t0=1, t10=1))], _SPAN, units.COUNT, area=True)
    assert chart.lines[0].area == f"M0 {HEIGHT:g} 0 6 100 6 100 {HEIGHT:g}Z"


def test_stacked_series_lie_on_top_of_each_other() -> None:
    chart = draw_stacked([Series("a", _points(t0=1, t10=1)), Series("b", _points(t0=1, t10=None))], _SPAN, units.COUNT)
    assert [line.path for line in chart.lines] == ["M0 93 100 93", "M0 6 100 93"]
    assert chart.lines[1].area == "M0 6 100 93 100 93 0 93Z"


def test_bars_stack_their_parts_and_say_their_value() -> None:
    chart = draw_bars([Series("ok", _points(t0=3)), Series("failed", _points(t0=1, t10=0))], _SPAN, units.COUNT)
    assert [(bar.part, bar.x, bar.y, bar.height) for bar in chart.bars] == [
        ("series-1", 0.0, 49.5, 130.5),
        ("series-2", 0.0, 6.0, 43.5),
    ]
    assert chart.bars[0].words == "1970-01-01 00:00:00: 3 ok"


def test_table_has_every_time_once_with_the_values_of_each_series() -> None:
    chart = draw_lines(
        [Series("a", _points(t0=0.5, t10=None)), Series("b", _points(t10=0.25, t20=1))], _SPAN, units.SECONDS
    )
    assert chart.names == ("a", "b")
    assert [row.values for row in chart.table] == [
        ("500 ms", "\N{EN DASH}"),
        ("\N{EN DASH}", "250 ms"),
        ("\N{EN DASH}", "1 s"),
    ]
    assert [row.at.second for row in chart.table] == [0, 10, 20]


def test_series_beyond_those_that_can_be_told_apart_are_counted() -> None:
    chart = draw_lines([Series(str(n), _points(t0=n, t10=n)) for n in range(11)], _SPAN, units.COUNT)
    assert (len(chart.lines), len(chart.names), chart.left_out) == (8, 8, 3)


def test_chart_without_values_is_empty() -> None:
    for drawn in (
        draw_lines([], _SPAN, units.COUNT),
        draw_lines([Series("a", _points(t0=None))], _SPAN, units.COUNT),
        draw_stacked([], _SPAN, units.COUNT),
        draw_bars([Series("a", _points(t0=0))], _SPAN, units.COUNT),
    ):
        assert drawn.is_empty


def test_spark_fills_its_box_and_breaks_at_gaps() -> None:
    drawn = draw_spark(_points(t0=0, t50=None, t90=5, t100=5), _SPAN)
    assert drawn.path.startswith("M0 100h0M900 3.3 1000 3.3")
    assert draw_spark([], _SPAN).path == ""
