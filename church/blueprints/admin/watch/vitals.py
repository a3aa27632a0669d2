"""Web vitals: how fast pages are in the browsers of visitors, over time and by route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flask import Response, request

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_choice
from church.blueprints.admin.watch.chart_marks import list_marks
from church.blueprints.admin.watch.store_answers import StoreAnswers
from church.web.charts import Chart, Mark, Series, draw_lines, units
from church.web.charts.units import Unit
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow
from church.web.time_ranges import Range, list_ranges, read_range

_QUANTILE = 0.75
"""Of the visits; the vitals are judged by it (https://web.dev/articles/vitals)."""
_ERRORS = "web_script_errors_total"
_MOST_ROUTES = 50


class Device(StrEnum):
    """The classes of devices that are told apart."""

    PHONE = "phone"
    TABLET = "tablet"
    DESKTOP = "desktop"


@dataclass(frozen=True)
class Vital:
    """A measure of a page in a browser: up to ``good`` it is good, above ``poor`` it is poor."""

    name: str
    title: str
    metric: str
    meaning: str
    good: float
    poor: float
    unit: Unit

    def judge(self, value: float | None) -> str:
        """The word for a value; empty for none."""
        if value is None:
            return ""
        return "good" if value <= self.good else "fair" if value <= self.poor else "poor"

    def write(self, value: float | None) -> str:
        """The value with its unit; empty for none."""
        return "" if value is None else self.unit.write(value)


_LCP, _INP, _TTFB = ("web_vitals_lcp_seconds", "web_vitals_inp_seconds", "web_vitals_ttfb_seconds")
VITALS = (
    Vital("lcp", "Main part is there (LCP)", _LCP, "Largest Contentful Paint", 2.5, 4.0, units.SECONDS),
    Vital("inp", "Answer to a click (INP)", _INP, "Interaction to Next Paint", 0.2, 0.5, units.SECONDS),
    Vital("cls", "Movement of the page (CLS)", "web_vitals_cls", "Cumulative Layout Shift", 0.1, 0.25, units.NUMBER),
    Vital("ttfb", "First byte (TTFB)", _TTFB, "Time to First Byte", 0.8, 1.8, units.SECONDS),
)


@dataclass(frozen=True)
class VitalFigure:
    """A vital over the time of the page: its value for three of four visits, and the course by device."""

    vital: Vital
    value: float | None
    chart: Chart


@bp.get("/vitals")
@section("Web vitals", Group.WATCH, 45)
@allow(ADMINS)
@limited("page")
def vitals() -> Response:
    """Show the vitals of all visits or of those with one kind of device, and of each route."""
    range_, store, device = read_range(request.args), StoreAnswers(), read_choice(Device, "device")
    answers = _ask(store, range_, device)
    figures = _list_figures(answers, range_)
    data = {
        "range": range_.query,
        "device": device,
        "vitals": {one.vital.name: {"p75": one.value, "verdict": one.vital.judge(one.value)} for one in figures},
        "routes": _list_routes(answers),
        "problem": store.problem,
        "store_is_down": store.is_down,
    }
    return render_answer(
        "admin/watch/vitals.html",
        data,
        figures=figures,
        vitals_shown=VITALS,
        devices=list(Device),
        chosen_range=range_,
        ranges=list_ranges(),
    )


_Answers = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]


def _ask(store: StoreAnswers, range_: Range, device: Device | None) -> _Answers:
    """The rows of all questions, by the metric's name and what was asked of it."""
    span = {"from": range_.from_us, "to": range_.to_us, "where": {"device": [device]} if device else {}}
    quantile = {"fn": "quantile", "q": _QUANTILE, **span}
    asked: list[tuple[tuple[str, str], dict[str, Any]]] = []
    for vital in VITALS:
        name = vital.metric
        asked.append(((name, "course"), {"name": name, **quantile, "by": ["device"], "step": range_.step}))
        asked.append(((name, "all"), {"name": name, **quantile, "whole": True}))
        asked.append(((name, "routes"), {"name": name, **quantile, "by": ["route"], "whole": True}))
    counted = {**span, "by": ["route"], "whole": True}
    asked.append((("views", "routes"), {"name": VITALS[-1].metric, "fn": "count", **counted}))
    asked.append(((_ERRORS, "routes"), {"name": _ERRORS, "fn": "increase", **counted}))
    answers: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in store.ask("metrics.many", ranges=[question for _, question in asked]).rows:
        answers.setdefault(asked[row["index"]][0], []).append(row)
    return answers


def _list_figures(answers: _Answers, range_: Range) -> list[VitalFigure]:
    marks = list_marks(range_) if answers else []
    return [
        VitalFigure(vital, _first(answers.get((vital.metric, "all"), ())), _draw(vital, answers, range_, marks))
        for vital in VITALS
    ]


def _draw(vital: Vital, answers: _Answers, range_: Range, marks: list[Mark]) -> Chart:
    rows = answers.get((vital.metric, "course"), ())
    series = [Series(row["labels"]["device"] or "other", [(at, value) for at, value in row["points"]]) for row in rows]
    return draw_lines(series, range_, vital.unit, marks)


def _list_routes(answers: _Answers) -> list[dict[str, Any]]:
    """The routes that were seen most, each with its views, script errors and vitals."""
    values = {
        key: {row["labels"]["route"]: row["points"][0][1] for row in rows}
        for key, rows in answers.items()
        if key[1] == "routes"
    }
    views, errors = values.get(("views", "routes"), {}), values.get((_ERRORS, "routes"), {})
    seen = sorted({*views, *errors}, key=lambda route: (-(views.get(route) or 0), route))
    return [
        {
            "route": route,
            "views": round(views.get(route) or 0),
            "errors": round(errors.get(route) or 0),
            **{vital.name: values.get((vital.metric, "routes"), {}).get(route) for vital in VITALS},
        }
        for route in seen[:_MOST_ROUTES]
        if views.get(route) or errors.get(route)
    ]


def _first(rows: Sequence[Mapping[str, Any]]) -> float | None:
    value: float | None = rows[0]["points"][0][1] if rows else None
    return value
