"""Web vitals that browsers of visitors measure: how fast a page was for them.

A report has no cookie, no identifier and no address of a page. It is counted, and nothing of it is kept or logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, current_app, request

from church import telemetry
from church.config import current_settings
from church.errors import InvalidError
from church.web.forms import read_json_object
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

bp = Blueprint("vitals", __name__)

_LONGEST = 2048
"""The most bytes of a report; those of our own module have fewer than 300."""
_MOST = {"lcp": 120_000.0, "inp": 120_000.0, "ttfb": 120_000.0, "cls": 100.0, "errors": 1000.0}
"""The highest value of each field that is believed: milliseconds, a score, a number."""
_NOT_FOR_VISITORS = ("/admin", "/api/")


@bp.post("/api/telemetry/vitals")
@allow(EVERYONE)
@limited("vitals")
@telemetry.never_scan_body
def vitals() -> tuple[str, int]:
    """Count a report; a browser that asks not to be measured (``Sec-GPC``) is not."""
    telemetry.leave_unobserved()
    request.max_content_length = _LONGEST
    sent = read_json_object()
    values = {name: _read_number(sent, name) for name in _MOST}
    if not current_settings().web_vitals or request.headers.get("Sec-GPC") == "1":
        return "", 204
    telemetry.track_web_vitals(_read_route(sent), str(sent.get("device", "")), values)
    return "", 204


def _read_number(sent: Mapping[str, Any], name: str) -> float | None:
    value = sent.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST[name]:
        raise InvalidError(f"{name} must be a number from 0 to {_MOST[name]:g}.")
    return float(value)


def _read_route(sent: Mapping[str, Any]) -> str:
    """The route of the page, if visitors have such a page; else empty, as after an upgrade that took it away."""
    route = sent.get("route")
    if not isinstance(route, str) or route.startswith(_NOT_FOR_VISITORS):
        return ""
    is_page = any(rule.rule == route and "GET" in (rule.methods or ()) for rule in current_app.url_map.iter_rules())
    return route if is_page else ""
