"""Where pipelines and Alertmanager say what happened: JSON, by whoever shows a token with ``delivery:write``.

Bodies are left out of the threat scan: the address in an alert holds its expression, and an alert about attacks would
count as the next one.
"""

from __future__ import annotations

from flask import Response, jsonify

from church import telemetry
from church.blueprints.dora.blueprint import bp
from church.services import dora
from church.web.forms import json_object
from church.web.rate_limits import limited
from church.web.responses import as_data
from church.web.route_access import allow, bearer

MACHINES = frozenset({"delivery.deployment", "delivery.incident", "delivery.alerts"})
"""Endpoints that show a token instead of a cookie, and that answer while the site is shut."""
_WRITERS = bearer("delivery:write")


@bp.post("/api/telemetry/deployment")
@allow(_WRITERS)
@limited("telemetry_api")
@telemetry.leave_body
def deployment() -> tuple[Response, int]:
    """201 when it is written down, 200 when its id was known and nothing changed."""
    report = dora.read_deployment(json_object())
    is_new = dora.record_deployment(report)
    return jsonify(id=report.ref, outcome="recorded" if is_new else "unchanged"), 201 if is_new else 200


@bp.post("/api/telemetry/incident")
@allow(_WRITERS)
@limited("telemetry_api")
@telemetry.leave_body
def incident() -> tuple[Response, int]:
    """201 when it is opened, 200 when it is changed, resolved, or as it was."""
    done = dora.record_incident(dora.read_incident(json_object()))
    facts = as_data(done)
    is_new = facts.pop("is_new")
    return jsonify(id=facts.pop("ref"), **facts), 201 if is_new else 200


@bp.post("/api/telemetry/alerts")
@allow(_WRITERS)
@limited("telemetry_api")
@telemetry.leave_body
def alerts() -> Response:
    """200 with what came of each alert; Alertmanager sends again whatever gets a 5xx."""
    return jsonify(alerts=as_data(dora.hear(dora.read_alerts(json_object()))))
