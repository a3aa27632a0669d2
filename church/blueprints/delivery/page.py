"""/dora: how delivery goes, as a page with charts or as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, jsonify, make_response, render_template, request

from church.access import DORA, allow
from church.answers import as_data
from church.blueprints.delivery import charts, words
from church.blueprints.delivery.blueprint import bp
from church.config import current_settings
from church.errors import FieldErrors, wants_json
from church.limits import limited
from church.services import delivery

SHOWN = 20
_ASKED = ("environment", "from", "to")
_METRICS = (
    "deployment_frequency",
    "lead_time_seconds",
    "change_failure_rate",
    "mttr_seconds",
    "deployment_rework_rate",
    "dora_sample_size",
)
_DOCUMENTATION = "https://dora.dev/guides/dora-metrics/"


@bp.get("/dora")
@allow(DORA)
@limited("page")
def dora() -> Response:
    """The figures of an environment and a window."""
    asked = {name: request.args.get(name, "") for name in _ASKED}
    if wants_json():
        return jsonify(_data(delivery.asked_window(asked, current_settings().environments, datetime.now(UTC))))
    problem: dict[str, str] = {}
    try:
        window = delivery.asked_window(asked, current_settings().environments, datetime.now(UTC))
    except FieldErrors as error:
        problem, window = error.errors, delivery.asked_window({}, current_settings().environments, datetime.now(UTC))
    return make_response(_page(window, asked, problem), 422 if problem else 200)


def _data(window: delivery.Window) -> dict[str, Any]:
    """Absolute addresses are made of the site's own origin, never of what the request says."""
    figures = delivery.figures_of(window)
    known = sum(figure.value is not None for figure in figures.values())
    origin = current_settings().origin
    return {
        "window": {"from": _iso(window.start), "to": _iso(window.end), "environment": window.environment},
        "metrics": as_data(figures),
        "message": f"{known} of {len(figures)} figures have data for {window.environment} in this window.",
        "metricsAvailable": list(_METRICS),
        "grafanaIntegration": f"{origin}/metrics",
        "documentation": _DOCUMENTATION,
    }


def _iso(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")


def _page(window: delivery.Window, asked: dict[str, str], problem: dict[str, str]) -> str:
    found = delivery.overview(window)
    history = found.history
    return render_template(
        "dora/dora.html",
        window=window,
        asked={name: text[:40] for name, text in asked.items()},
        problem=problem,
        environments=current_settings().environments,
        figures=[(name, *words.TITLES[name], found.figures[name]) for name in words.TITLES],
        history=history,
        shown=SHOWN,
        weekly=charts.weekly_deployments(history.weeks),
        leads=charts.weekly_lead(history.weeks),
        scattered=charts.deployments(history.deployments, history.deployment_count, window),
        duration=words.duration,
        value_of=words.value_of,
        counted=words.counted,
    )
