"""Expressions of metrics: what is written is read again, and becomes a question to the telemetry store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.blueprints.admin.watch.metric_expressions import (
    FUNCTIONS,
    Expression,
    name_series,
    parse_expression,
    usual_expression,
)
from church.errors import InvalidError
from church.web.charts import units

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True)
FUNCTION_NAMES = st.sampled_from([fn for functions in FUNCTIONS.values() for fn in functions])


@given(
    FUNCTION_NAMES,
    NAMES,
    st.lists(NAMES, max_size=3, unique=True).map(tuple),
    st.lists(st.tuples(NAMES, st.text(max_size=20)), max_size=3, unique=True).map(tuple),
)
def test_expression_is_read_as_it_was_written(
    fn: str, name: str, by: tuple[str, ...], where: tuple[tuple[str, str], ...]
) -> None:
    one = Expression(fn, name, by, where)
    if len(one.text) <= 500:
        assert parse_expression(one.text) == one


def test_expression_becomes_a_question() -> None:
    one = parse_expression('p99.5(took_seconds{route="/",route="/b",method="GET"}) by (route, method)')
    assert one.question() == {
        "name": "took_seconds",
        "fn": "quantile",
        "q": 0.995,
        "by": ["route", "method"],
        "where": {"route": ["/", "/b"], "method": ["GET"]},
    }
    assert parse_expression("rate(hits_total)").question() == {
        "name": "hits_total",
        "fn": "rate",
        "by": [],
        "where": {},
    }


@pytest.mark.parametrize(
    "text", ["", "hits_total", "rate(a b)", "rate(a{b})", 'rate(a{b="c)', "rate(a) by route", "p(a)", "sum(a)"]
)
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not such as rate"):
        parse_expression(text)


def test_series_are_named_by_what_they_do_not_share() -> None:
    def names(*texts: str) -> list[str]:
        return name_series(map(parse_expression, texts))

    assert names('rate(a_total{x="1"}) by (route)') == [""]
    assert names("p50(a_seconds)", "p99(a_seconds) by (route)") == ["p50", "p99"]
    assert names("rate(a_total) by (x)", 'rate(a_total{x="1"})') == ["rate(a_total)", 'rate(a_total{x="1"})']


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("rate(hits_total)", units.RATE),
        ("rate(sent_bytes_total)", units.BYTE_RATE),
        ("increase(sent_bytes_total)", units.BYTES),
        ("rate(process_cpu_seconds_total)", units.NUMBER),
        ("rate(took_seconds)", units.RATE),
        ("count(took_seconds)", units.NUMBER),
        ("p95(took_seconds)", units.SECONDS),
        ("mean(web_vitals_cls)", units.NUMBER),
        ("value(process_resident_memory_bytes)", units.BYTES),
        ("value(change_failure_rate)", units.RATIO),
    ],
)
def test_unit_is_that_of_the_metric_and_the_function(text: str, unit: units.Unit) -> None:
    assert parse_expression(text).unit == unit


@pytest.mark.parametrize(("kind", "text"), [("counter", "rate(a)"), ("gauge", "value(a)"), ("histogram", "p95(a)")])
def test_usual_expression_fits_the_kind(kind: str, text: str) -> None:
    assert usual_expression("a", kind).text == text
