"""Errors, grouped: which are open, how often they occur and since which release; and one of them."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request, url_for

from church.blueprints.admin.area import Group, bp, finds, render_answer, section
from church.blueprints.admin.list_filters import read_choice
from church.blueprints.admin.watch.chart_marks import list_marks
from church.blueprints.admin.watch.store_answers import StoreAnswers, read_json
from church.config import current_settings
from church.errors import InvalidError, NotFoundError
from church.models.error_groups import ErrorState
from church.services import error_groups
from church.services.telemetry_queries import Row
from church.web.charts import Series, Spark, draw_bars, draw_spark, units
from church.web.forms import read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow
from church.web.time_ranges import Range, list_ranges, read_range

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_OCCURRENCES = 20
_DECISIONS = {
    ErrorState.RESOLVED: "Resolve error",
    ErrorState.IGNORED: "Ignore error",
    ErrorState.OPEN: "Open error again",
}


@bp.get("/errors")
@section("Errors", Group.WATCH, 40, "e")
@allow(ADMINS)
@limited("page")
def errors() -> Response:
    """List the groups of errors, those that occurred last first, with how often each occurred in a time."""
    days = current_settings().observatory_days
    range_, store, state = read_range(request.args, days), StoreAnswers(), read_choice(ErrorState, "state")
    groups = error_groups.list_groups(state or ErrorState.OPEN)
    counted = store.ask("errors.groups", **{"from": range_.from_us, "to": range_.to_us}, limit=200).rows
    counts = {row["fingerprint"]: row for row in counted}
    data = {
        "range": range_.query,
        "state": state or ErrorState.OPEN,
        "errors": [
            {"group": group, "count": row["count"] if row else 0, "members": row["members"] if row else 0}
            for group in groups
            for row in [counts.get(group.fingerprint)]
        ],
        "problem": store.problem,
        "store_is_down": store.is_down,
    }
    return render_answer(
        "admin/watch/errors.html",
        data,
        chosen_range=range_,
        ranges=list_ranges(days),
        states=list(ErrorState),
        sparks={fingerprint: _draw_spark(row, range_) for fingerprint, row in counts.items()},
    )


@bp.get("/errors/<fingerprint>")
@finds("error", "fingerprint")
@allow(ADMINS)
@limited("page")
def error_group(fingerprint: str) -> Response:
    """Show one group: its occurrences over time, the newest of them, and what an admin can decide."""
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise NotFoundError
    days = current_settings().observatory_days
    range_, store = read_range(request.args, days), StoreAnswers()
    span = {"from": range_.from_us, "to": range_.to_us}
    group = error_groups.find_groups([fingerprint]).get(fingerprint)
    found = store.ask("errors.get", **span, fingerprint=fingerprint, limit=_OCCURRENCES)
    if group is None and not found.rows:
        raise NotFoundError
    counted = next(
        (row for row in store.ask("errors.groups", **span, limit=200).rows if row["fingerprint"] == fingerprint), None
    )
    data: dict[str, Any] = {
        "range": range_.query,
        "fingerprint": fingerprint,
        "group": group,
        "count": counted["count"] if counted else 0,
        "members": counted["members"] if counted else 0,
        "versions": counted["versions"] if counted else [],
        "occurrences": [{**row, "frames": read_json(row.get("frames")) or []} for row in found.rows],
        "problem": store.problem,
        "store_is_down": store.is_down,
    }
    return render_answer(
        "admin/watch/error.html",
        data,
        chosen_range=range_,
        ranges=list_ranges(days),
        chart=_draw_counts(counted, range_) if counted else None,
        decisions=_list_decisions(group),
    )


@bp.post("/errors/<fingerprint>/state")
@allow(ADMINS)
@limited("account")
def error_state(fingerprint: str) -> Response:
    """Resolve or ignore an error, or open it again."""
    sent = read_fields()
    text = sent.text("state", 10)
    sent.check()
    try:
        state = ErrorState(text)
    except ValueError:
        raise InvalidError(f"“state” must be one of: {', '.join(ErrorState)}.") from None
    error_groups.change_state(fingerprint, state, current_actor())
    words = {ErrorState.OPEN: "open again", ErrorState.RESOLVED: "resolved", ErrorState.IGNORED: "ignored"}[state]
    return respond_done(f"The error is {words}.", url_for("admin.error_group", fingerprint=fingerprint), state=state)


def _list_decisions(group: error_groups.GroupView | None) -> list[tuple[str, str]]:
    """The states that an admin can choose now, with the words of their buttons."""
    if group is None:
        return []
    words = {
        ErrorState.RESOLVED: "Resolve error",
        ErrorState.IGNORED: "Ignore error",
        ErrorState.OPEN: "Open error again",
    }
    return [(state.value, text) for state, text in words.items() if state is not group.state]


def _points_of(row: Row, range_: Range) -> list[tuple[int, float | None]]:
    counts: list[int] = row["counts"]
    width = -(-(range_.to_us - range_.from_us) // max(1, len(counts)))
    return [(range_.from_us + place * width, float(count)) for place, count in enumerate(counts)]


def _draw_spark(row: Row, range_: Range) -> Spark:
    points = _points_of(row, range_)
    return draw_spark(points, Range(range_.from_us, range_.to_us, max(1, range_.seconds // max(1, len(points)) + 1)))


def _draw_counts(row: Row, range_: Range) -> Any:
    points = _points_of(row, range_)
    step = max(1, range_.seconds // max(1, len(points)))
    shown = Range(range_.from_us, range_.to_us, step)
    return draw_bars([Series("occurrences", points)], shown, units.COUNT, list_marks(shown))
