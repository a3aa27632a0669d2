"""Everything that is known of one request: records, trace, errors, jobs, emails, audit entries and webhook event."""

from __future__ import annotations

import re
from typing import Any

from flask import Response

from church.blueprints.admin.area import bp, finds, render_answer
from church.blueprints.admin.watch.store_answers import StoreAnswers, list_facts, read_json
from church.blueprints.admin.watch.trace_view import open_trace
from church.errors import NotFoundError, UnavailableError
from church.services.admin_overview import RequestRows, find_request_rows
from church.services.telemetry_queries import Row
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_IN_THE_LINE = frozenset({"ts", "seq", "level", "message", "table", "request_id"})
_ACCESS = "http.request"


@bp.get("/request/<request_id>")
@finds("request", "request_id")
@allow(ADMINS)
@limited("page")
def request_story(request_id: str) -> Response:
    """Show what the logs, the traces and the database have of a request."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise NotFoundError
    store = StoreAnswers()
    found = store.ask("requests.find", request_id=request_id).rows
    rows, database_is_down = RequestRows(), False
    try:
        rows = find_request_rows(request_id)
    except UnavailableError:
        database_is_down = True
    by_table: dict[str, list[Row]] = {table: [] for table in ("logs", "traces", "errors")}
    for row in found:
        by_table.setdefault(row["table"], []).append(row)
    data: dict[str, Any] = {
        "request_id": request_id,
        "access": next((row for row in by_table["logs"] if row.get("event") == _ACCESS), None),
        "records": by_table["logs"],
        "traces": [open_trace(row) for row in by_table["traces"]],
        "errors": [{**row, "frames": read_json(row.get("frames")) or []} for row in by_table["errors"]],
        "rows": rows,
        "problem": store.problem,
        "store_is_down": store.is_down,
        "database_is_down": database_is_down,
    }
    return render_answer("admin/watch/request.html", data, facts_of=lambda row: list_facts(row, _IN_THE_LINE))
