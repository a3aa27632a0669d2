"""Reports of errors from the telemetry store: which groups of errors have occurred on a host."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from church import telemetry
from church.services import error_groups
from church.web.forms import read_json_object
from church.web.rate_limits import limited
from church.web.route_access import allow, bearer

bp = Blueprint("error_reports", __name__)

MACHINES = frozenset({"error_reports.errors"})
"""Endpoints that use a token instead of a cookie, and stay open during maintenance."""


@bp.post("/api/telemetry/errors")
@allow(bearer("delivery:write"))
@limited("telemetry_api")
@telemetry.never_scan_body
def errors() -> Response:
    """Record the errors of a report: 200 with how many of them are new or back. Not a request of a visitor."""
    telemetry.leave_unobserved()
    return jsonify(fresh=error_groups.record_errors(error_groups.read_report(read_json_object())))
