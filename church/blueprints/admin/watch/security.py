"""Security: what attacks there were and where they came from, and the networks that are blocked.

What happened comes from the telemetry store; without it, the page says so, and blocks are made and lifted as ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from flask import Response, current_app, request, url_for

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_place, read_text
from church.blueprints.admin.watch.chart_marks import list_marks
from church.config import Settings, current_settings
from church.errors import ChurchError, ConflictError, FieldErrors
from church.models.base import utc_now
from church.services import blocks as service
from church.services.security_history import SLICES, Counted, SecurityHistory, load_history
from church.services.telemetry_queries import TelemetryQueryError, TelemetryStoreDownError
from church.web import blocks
from church.web.charts import Chart, Series, Span, draw_bars, units
from church.web.error_pages import wants_json
from church.web.forms import Fields, read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow
from church.web.time_ranges import Range, list_ranges, read_range

_BY_DATE = "date"
_SPANS = {
    "hour": (timedelta(hours=1), "1 hour"),
    "day": (timedelta(days=1), "1 day"),
    "month": (timedelta(days=30), "30 days"),
}
_FIELDS = ("network", "lasts", "until", "reason")
_LONGEST_NETWORK = 64


@bp.get("/security")
@section("Security", Group.WATCH, 50, "v")
@allow(ADMINS)
@limited("page")
def security() -> Response:
    """Show what happened in a range of time, optionally events of one type, and the blocks in force.

    ``network`` fills in the form that blocks one.
    """
    return _show_page({"network": read_text("network", _LONGEST_NETWORK)})


@bp.post("/security/blocks")
@allow(ADMINS)
@limited("account")
def security_block() -> Response:
    """Block an address or network, for a time or until the end of a day in UTC."""
    sent = read_fields()
    try:
        network = _block(sent)
    except (FieldErrors, ConflictError) as error:
        if wants_json():
            raise
        return _show_page(sent.shown(*_FIELDS), error)
    return respond_done(f"{network} is blocked.", url_for("admin.security"), network=network)


@bp.post("/security/blocks/lift")
@allow(ADMINS)
@limited("account")
def security_unblock() -> Response:
    """Lift the block of a network."""
    sent = read_fields()
    text = sent.text("network", _LONGEST_NETWORK)
    sent.check()
    network = blocks.unblock(text, current_actor())
    return respond_done(f"{network} is no longer blocked.", url_for("admin.security"), network=network)


def _block(sent: Fields) -> str:
    network, lasts = sent.text("network", _LONGEST_NETWORK), sent.text("lasts", 8)
    reason = sent.text("reason", 2 * service.MAX_REASON_LENGTH, required=False)
    until = _read_end(sent, lasts)
    sent.check()
    return blocks.block(network, until, reason, current_actor())


def _read_end(sent: Fields, lasts: str) -> datetime:
    """When the block ends: after one of the usual spans, or with the day in ``until``. Notes errors in ``sent``."""
    now = utc_now()
    if lasts in _SPANS:
        return now + _SPANS[lasts][0]
    if lasts != _BY_DATE:
        sent.errors.setdefault("lasts", "Choose how long.")
        return now
    try:
        day = date.fromisoformat(sent.text("until", 10))
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        sent.errors["until"] = "Choose a day, such as 2026-05-31."
        return now


def _show_page(values: Mapping[str, str], error: ChurchError | None = None) -> Response:
    errors = error.errors if isinstance(error, FieldErrors) else {}
    settings = current_settings()
    shown = read_range(request.args, settings.observatory_days)
    event = read_text("event") or None
    history, problem = _load_history(settings, shown, event)
    form = {
        "values": values,
        "errors": errors,
        "problem": None if errors or error is None else str(error),
        "spans": (*_short_spans(), (_BY_DATE, "until the end of a day")),
        "short_spans": _short_spans(),
        "most": service.MAX_REASON_LENGTH,
    }
    page = {
        "range": shown,
        "ranges": list_ranges(settings.observatory_days),
        "event": event,
        "charts": _draw(history, shown) if history is not None else {},
        "blocked": blocks.watch_of(current_app).refuses,
        "history_problem": problem,
    }
    data = {"blocks": service.list_active(read_place()).as_data(), "history": history}
    return render_answer("admin/watch/security.html", data, error.status if error is not None else 200, **form, **page)


def _short_spans() -> tuple[tuple[str, str], ...]:
    return tuple((name, words) for name, (_, words) in _SPANS.items())


def _load_history(settings: Settings, shown: Range, event: str | None) -> tuple[SecurityHistory | None, str]:
    """What happened, or None and the reason; the reason is empty if the telemetry store does not run."""
    try:
        return load_history(settings, shown.from_us, shown.to_us, event), ""
    except TelemetryStoreDownError:
        return None, ""
    except TelemetryQueryError as error:
        return None, error.detail or str(error)


def _draw(history: SecurityHistory, shown: Range) -> dict[str, Chart]:
    """Charts of the events by type and of failed sign-ins by outcome, most frequent first."""
    width, marks = Span(shown.from_us, shown.to_us, math.ceil(shown.seconds / SLICES)), list_marks(shown)
    return {
        "events": draw_bars(_series(history.events), width, units.COUNT, marks),
        "sign_ins": draw_bars(_series(history.sign_ins), width, units.COUNT, marks),
    }


def _series(counted: Iterable[Counted]) -> list[Series]:
    points: dict[str, list[tuple[int, float]]] = {}
    for one in counted:
        points.setdefault(one.kind, []).append((one.at, one.count))
    names = sorted(points, key=lambda name: (-sum(count for _, count in points[name]), name))
    return [Series(name.removeprefix("failed_").replace("_", " "), points[name]) for name in names]
