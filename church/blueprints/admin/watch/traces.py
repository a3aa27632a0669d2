"""Kept traces: by route, the slowest, the failed and the typical ones; and one trace as a waterfall."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request

from church.blueprints.admin.area import Group, bp, finds, render_answer, section
from church.blueprints.admin.list_filters import read_text
from church.blueprints.admin.watch.store_answers import StoreAnswers
from church.blueprints.admin.watch.trace_view import open_trace
from church.config import current_settings
from church.errors import InvalidError, NotFoundError
from church.services.telemetry_queries import Row
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow
from church.web.time_ranges import list_ranges, read_range

ORDERS = ("newest", "slowest", "failed", "typical")
_SHOWN = 50
_LONGEST_NAME = 300
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


@bp.get("/traces")
@section("Traces", Group.WATCH, 30, "t")
@allow(ADMINS)
@limited("page")
def traces() -> Response:
    """List the traces that were kept in a time, optionally of one route or job, and figures of each."""
    days = current_settings().observatory_days
    range_, store = read_range(request.args, days), StoreAnswers()
    order, name = read_text("order") or "newest", read_text("name", _LONGEST_NAME)
    if order not in ORDERS:
        raise InvalidError(f"“order” must be one of: {', '.join(ORDERS)}.")
    span = {"from": range_.from_us, "to": range_.to_us}
    found = store.ask("traces.list", **span, order=order, name=name or None, limit=_SHOWN)
    routes = store.ask("traces.routes", **span) if not name else None
    data = {
        "range": range_.query,
        "order": order,
        "name": name,
        "traces": found.rows,
        "routes": routes.rows if routes else [],
        "problem": store.problem,
        "store_is_down": store.is_down,
    }
    return render_answer("admin/watch/traces.html", data, chosen_range=range_, ranges=list_ranges(days), orders=ORDERS)


@bp.get("/traces/<trace_id>")
@finds("trace", "trace_id")
@allow(ADMINS)
@limited("page")
def trace(trace_id: str) -> Response:
    """Show one trace, with all parts that processes and jobs have of it, beside a typical one of its route."""
    if not _TRACE_ID.fullmatch(trace_id):
        raise NotFoundError
    store = StoreAnswers()
    parts = [open_trace(row) for row in store.ask("traces.get", trace_id=trace_id).rows]
    data: dict[str, Any] = {
        "trace_id": trace_id,
        "parts": parts,
        "typical": _find_typical(store, parts[0]) if parts else None,
        "problem": store.problem,
        "store_is_down": store.is_down,
    }
    return render_answer("admin/watch/trace.html", data)


def _find_typical(store: StoreAnswers, part: Row) -> Row | None:
    """The newest typical trace of the same route or job, other than this one."""
    day = 86_400 * 1_000_000
    span = {"from": part["ts"] - 7 * day, "to": part["ts"] + 7 * day}
    found = store.ask("traces.list", **span, order="typical", name=part["name"], limit=2).rows
    return next((row for row in found if row["trace_id"] != part["trace_id"]), None)
