"""The JSON API for pipelines and Alertmanager, which need a token with ``delivery:write``.

Bodies are not scanned for threats: the URL in an alert contains its expression, so an alert about attacks would count
as another attack.
"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from church import telemetry
from church.blueprints.dora.blueprint import bp
from church.services import dora
from church.web.forms import read_json_object
from church.web.rate_limits import limited
from church.web.responses import to_json_data
from church.web.route_access import allow, bearer

MACHINES = frozenset({"delivery.deployment", "delivery.incident", "delivery.alerts"})
"""Endpoints that use a token instead of a cookie, and stay open during maintenance."""
_WRITERS = bearer("delivery:write")
_MOST_SHOWN = 20  # commits left out that an answer names


@bp.post("/api/telemetry/deployment")
@allow(_WRITERS)
@limited("telemetry_api")
@telemetry.never_scan_body
def deployment() -> tuple[Response, int]:
    """Record a deployment: 201 if it is new, 200 if its id exists and nothing changed. Names the commits left out."""
    report = dora.read_deployment(read_json_object())
    is_new = dora.record_deployment(report)
    facts: dict[str, Any] = {"id": report.ref, "outcome": "recorded" if is_new else "unchanged"}
    if report.ignored:
        shown = [{"commit": item.place, "reason": item.reason} for item in report.ignored[:_MOST_SHOWN]]
        facts |= {"ignored": len(report.ignored), "ignored_commits": shown}
    return jsonify(facts), 201 if is_new else 200


@bp.post("/api/telemetry/incident")
@allow(_WRITERS)
@limited("telemetry_api")
@telemetry.never_scan_body
def incident() -> tuple[Response, int]:
    """Record an incident: 201 if it is opened, 200 if it is changed, resolved or unchanged."""
    facts = to_json_data(dora.record_incident(dora.read_incident(read_json_object())))
    is_new = facts.pop("is_new")
    return jsonify(id=facts.pop("ref"), **facts), 201 if is_new else 200


@bp.post("/api/telemetry/alerts")
@allow(_WRITERS)
@limited("telemetry_api")
@telemetry.never_scan_body
def alerts() -> Response:
    """Record Alertmanager's alerts: 200 with the outcome of each. Alertmanager sends again after a 5xx.

    ``unusable`` counts those that are ignored because they are not valid.
    """
    notification = dora.read_notification(read_json_object())
    outcomes = dora.record_notification(notification)
    return jsonify(alerts=to_json_data(outcomes), unusable=len(notification.unusable))
