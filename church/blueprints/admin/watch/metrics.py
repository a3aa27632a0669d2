"""Metrics over time: any metric of the site as a rate, a quantile or a value, by label, several in one chart."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Response, jsonify, make_response, redirect, request, url_for

from church.blueprints.admin.area import Group, bp, finds, render_answer, section
from church.blueprints.admin.watch.chart_marks import list_marks
from church.blueprints.admin.watch.metric_expressions import (
    FUNCTIONS,
    Expression,
    name_series,
    parse_expression,
    usual_expression,
)
from church.config import current_settings
from church.errors import InvalidError
from church.services import telemetry_queries
from church.services.telemetry_queries import TelemetryQueryError, TelemetryStoreDownError
from church.web.charts import Chart, Mark, Series, Span, draw_lines
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow
from church.web.time_ranges import Range, list_ranges, read_range

_KEPT_DAYS = 730
_MOST_EXPRESSIONS = 12
_FIRST_PAGE = (
    ("Requests", "rate(http_requests_total)"),
    ("Requests that failed", 'rate(http_requests_total{status_code="500",status_code="503"})'),
    ("How long requests took", "p95(http_request_duration_seconds)", "p50(http_request_duration_seconds)"),
    ("CPU in use, in cores", "rate(process_cpu_seconds_total) by (slot)"),
    ("Memory", "value(process_resident_memory_bytes)"),
    ("Jobs waiting", "value(jobs_pending)"),
)
"""The charts that are shown first: a title, and what they show."""
_TITLES = {
    "rate": "Per second",
    "byte rate": "Bytes per second",
    "seconds": "Time",
    "bytes": "Bytes",
    "ratio": "Share",
    "number": "Number",
}
"""Of the chart of a unit."""
_Metric = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What an expression says: a series for each group of labels, the largest first."""

    expression: Expression
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Control:
    """What the page needs to let an admin change one of the expressions, at place ``index``."""

    index: int
    expression: Expression
    functions: Mapping[str, str]
    labels: Mapping[str, list[str]]
    """The values of each label of the metric."""
    rest: list[str]
    """The other expressions."""

    def wanted(self, label: str) -> list[str]:
        """The values of a label that are looked at; none for all."""
        return [value for one, value in self.expression.where if one == label]


@dataclass(frozen=True)
class UnitChart:
    """The series of one unit."""

    title: str
    drawn: Chart


@bp.get("/metrics")
@finds("metric", "metric")
@section("Metrics", Group.WATCH, 10, "x")
@allow(ADMINS)
@limited("page")
def metrics() -> Response:
    """Show charts of the expressions in ``show``, or the usual ones; ``metric`` and its fields add or change one."""
    span, shown = _read_range(), _read_expressions()
    page: dict[str, Any] = {"range": span, "ranges": list_ranges(_KEPT_DAYS), "keep": {"show": _texts(shown)}}
    try:
        catalogue = telemetry_queries.ask(current_settings(), "metrics.catalogue").rows
        if request.args.get("metric"):
            return _redirect_to(_change(shown, catalogue), span)
        answers = _ask(shown, span) if shown else []
        page["first"] = [] if shown else _draw_first(span)
    except TelemetryStoreDownError:
        return render_answer("admin/watch/metrics.html", {"is_running": False}, **page)
    except TelemetryQueryError as error:
        return render_answer("admin/watch/metrics.html", {"is_running": True, "problem": str(error)}, **page)
    page |= {"charts": _draw_by_unit(answers, span), "controls": _list_controls(shown, catalogue)}
    data = {
        "is_running": True,
        "time": span.query,
        "shown": [_as_data(answer) for answer in answers],
        "catalogue": [{**one, "usual": usual_expression(one["name"], one["kind"]).text} for one in catalogue],
    }
    return render_answer("admin/watch/metrics.html", data, **page)


@bp.get("/metrics.csv")
@allow(ADMINS)
@limited("page")
def metrics_csv() -> Response:
    """Download the values of the expressions in ``show`` as CSV: a line for each time, a column for each series."""
    answers = _answers_to_download()
    columns = {
        f"{answer.expression.text} {' '.join(row['labels'].values())}".strip(): dict(map(tuple, row["points"]))
        for answer in answers
        for row in answer.rows
    }
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["time", *columns])
    for at in sorted({at for points in columns.values() for at in points}):
        writer.writerow(
            [_write_time(at), *("" if points.get(at) is None else points[at] for points in columns.values())]
        )
    return _as_download(Response(out.getvalue(), mimetype="text/csv"), "csv")


@bp.get("/metrics.json")
@allow(ADMINS)
@limited("page")
def metrics_json() -> Response:
    """Download the values of the expressions in ``show`` as JSON."""
    shown = [_as_data(answer) for answer in _answers_to_download()]
    return _as_download(jsonify(time=_read_range().query, shown=shown), "json")


# -- what is asked for ------------------------------------------------------------------------------------------------


def _read_range() -> Range:
    return read_range(request.args, _KEPT_DAYS)


def _read_expressions() -> list[Expression]:
    texts = [text for text in request.args.getlist("show") if text.strip()]
    if len(texts) > _MOST_EXPRESSIONS:
        raise InvalidError(f"A page shows at most {_MOST_EXPRESSIONS} expressions.")
    return list(dict.fromkeys(map(parse_expression, texts)))


def _texts(expressions: Iterable[Expression]) -> list[str]:
    return [one.text for one in expressions]


def _change(shown: list[Expression], catalogue: Sequence[_Metric]) -> list[Expression]:
    """The expressions with the one that the form has made, at its place or at the end. Raises InvalidError."""
    name = request.args["metric"]
    kind = next((metric["kind"] for metric in catalogue if metric["name"] == name), None)
    if kind is None:
        raise InvalidError(f"There is no metric “{name[:80]}”.")
    made = usual_expression(name, kind)
    if (fn := request.args.get("fn", "")) in FUNCTIONS[kind]:
        where = [part.partition("=")[::2] for part in request.args.getlist("is") if "=" in part]
        made = Expression(fn, name, tuple(request.args.getlist("by")), tuple(where))
    at = request.args.get("at", type=int, default=len(shown))
    return [*shown[:at], parse_expression(made.text), *shown[at:]]


def _redirect_to(shown: list[Expression], span: Range) -> Response:
    address = url_for("admin.metrics", show=_texts(shown), **span.query)  # type: ignore[arg-type]  # a list is fine
    return make_response(redirect(address))


def _list_controls(shown: list[Expression], catalogue: Sequence[_Metric]) -> list[Control]:
    by_name = {metric["name"]: metric for metric in catalogue}
    controls = []
    for index, one in enumerate(shown):
        metric = by_name.get(one.name)
        functions = FUNCTIONS[metric["kind"]] if metric is not None else {}
        labels = metric["labels"] if metric is not None else {}
        controls.append(
            Control(index, one, {one.fn: one.fn, **functions}, labels, _texts(shown[:index] + shown[index + 1 :]))
        )
    return controls


# -- answers ----------------------------------------------------------------------------------------------------------


def _ask(expressions: Sequence[Expression], span: Span) -> list[Answer]:
    """Ask the telemetry store for all expressions at once."""
    time = {"from": span.from_us, "to": span.to_us, "step": span.step}
    ranges = [{**one.question(), **time} for one in expressions]
    answers = [Answer(one, []) for one in expressions]
    for row in telemetry_queries.ask(current_settings(), "metrics.many", ranges=ranges).rows:
        answers[row["index"]].rows.append(row)
    return answers


def _answers_to_download() -> list[Answer]:
    shown = _read_expressions()
    if not shown:
        raise InvalidError("“show” must say what, such as rate(http_requests_total).")
    return _ask(shown, _read_range())


def _as_download(response: Response, ending: str) -> Response:
    response.headers.set("Content-Disposition", "attachment", filename=f"metrics.{ending}")
    return response


def _as_data(answer: Answer) -> dict[str, Any]:
    series = [
        {"labels": row["labels"], "points": [[_write_time(at), value] for at, value in row["points"]]}
        for row in answer.rows
    ]
    return {"expression": answer.expression.text, "unit": answer.expression.unit.name, "series": series}


def _write_time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%dT%H:%M:%SZ}"


# -- charts -----------------------------------------------------------------------------------------------------------


def _draw_first(span: Range) -> list[tuple[str, Chart, list[str]]]:
    """The usual charts, each with its title and the expressions that it shows."""
    expressions = [parse_expression(text) for _, *texts in _FIRST_PAGE for text in texts]
    answers, marks = {answer.expression.text: answer for answer in _ask(expressions, span)}, list_marks(span)
    return [(title, _draw([answers[text] for text in texts], span, marks), texts) for title, *texts in _FIRST_PAGE]


def _draw_by_unit(answers: Sequence[Answer], span: Range) -> list[UnitChart]:
    """A chart for each unit, in the order in which they come."""
    by_unit: dict[str, list[Answer]] = {}
    for answer in answers:
        by_unit.setdefault(answer.expression.unit.name, []).append(answer)
    marks = list_marks(span) if by_unit else []
    return [UnitChart(_TITLES[unit], _draw(same, span, marks)) for unit, same in by_unit.items()]


def _draw(answers: Sequence[Answer], span: Range, marks: Sequence[Mark]) -> Chart:
    names = name_series(answer.expression for answer in answers)
    series = [
        Series(" ".join((name, *_write_labels(row["labels"]))).strip() or answer.expression.name, row["points"])
        for answer, name in zip(answers, names, strict=True)
        for row in answer.rows
    ]
    return draw_lines(series, _with_step(span, series), answers[0].expression.unit, marks)


def _write_labels(labels: Mapping[str, str]) -> Iterator[str]:
    """The values of labels for a legend; a number alone says nothing."""
    for label, value in labels.items():
        yield f"{label} {value}" if value.isdigit() or not value else value


def _with_step(span: Range, series: Sequence[Series]) -> Span:
    """The range with the step of the answer, which is longer where old samples stand for more time."""
    points = next((one.points for one in series if len(one.points) > 1), None)
    step = span.step if points is None else (points[1][0] - points[0][0]) // 1_000_000
    return Span(span.from_us, span.to_us, step)
