"""``/dora``: the DORA figures of a window of time, as a page with charts or as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, jsonify, make_response, render_template, request

from church.blueprints.dora import charts
from church.blueprints.dora.blueprint import bp
from church.config import current_settings
from church.errors import FieldErrors
from church.services import dora as services_dora
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import to_json_data
from church.web.route_access import DORA, allow

SHOWN = 20
_PARAMETERS = ("environment", "from", "to")
_METRICS = (
    "deployment_frequency",
    "lead_time_seconds",
    "change_failure_rate",
    "mttr_seconds",
    "deployment_rework_rate",
    "dora_sample_size",
)
_DOCUMENTATION = "https://dora.dev/guides/dora-metrics/"
_TITLES = {
    "deployment_frequency": ("Deployment frequency", "Successful deployments a day."),
    "lead_time_seconds": ("Lead time for changes", "Median from a commit to the first deployment that delivered it."),
    "change_failure_rate": ("Change failure rate", "Successful deployments that caused an incident."),
    "failed_deployment_recovery_seconds": (
        "Failed deployment recovery time",
        "Median from the deployment that caused an incident to its end.",
    ),
    "deployment_rework_rate": ("Rework rate", "Successful deployments that were hotfixes."),
    "mttr_seconds": ("Time to restore", "Median of all resolved incidents, from opened to resolved."),
}
_COUNTED = {
    "deployment_frequency": ("deployment", "deployments"),
    "lead_time_seconds": ("commit", "commits"),
    "change_failure_rate": ("deployment", "deployments"),
    "failed_deployment_recovery_seconds": ("incident", "incidents"),
    "deployment_rework_rate": ("deployment", "deployments"),
    "mttr_seconds": ("incident", "incidents"),
}


@bp.get("/dora")
@allow(DORA)
@limited("page")
def dora() -> Response:
    """Show the figures of an environment and a window. A wrong window shows the default one, with the errors."""
    query = {name: request.args.get(name, "") for name in _PARAMETERS}
    if wants_json():
        return jsonify(_data(_window(query)))
    problem: dict[str, str] = {}
    try:
        window = _window(query)
    except FieldErrors as error:
        problem, window = error.errors, _window({})
    return make_response(_page(window, query, problem), 422 if problem else 200)


def _window(query: dict[str, str]) -> services_dora.Window:
    return services_dora.read_window(query, current_settings().environments, datetime.now(UTC))


def _data(window: services_dora.Window) -> dict[str, Any]:
    """Make the JSON answer. Absolute URLs use the site's own origin, never the request's."""
    figures = services_dora.read_figures(window)
    with_data = sum(figure.value is not None for figure in figures.values())
    origin = current_settings().origin
    return {
        "window": {"from": _iso(window.start), "to": _iso(window.end), "environment": window.environment},
        "metrics": to_json_data(figures),
        "message": f"{with_data} of {len(figures)} figures have data for {window.environment} in this window.",
        "metricsAvailable": list(_METRICS),
        "grafanaIntegration": f"{origin}/metrics",
        "documentation": _DOCUMENTATION,
    }


def _iso(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")


def _page(window: services_dora.Window, query: dict[str, str], problem: dict[str, str]) -> str:
    overview = services_dora.read_overview(window)
    history = overview.history
    return render_template(
        "dora/dora.html",
        window=window,
        asked={name: text[:40] for name, text in query.items()},
        problem=problem,
        environments=current_settings().environments,
        figures=[(name, *_TITLES[name], overview.figures[name]) for name in _TITLES],
        history=history,
        shown=SHOWN,
        weekly=charts.chart_weekly_deployments(history.weeks),
        leads=charts.chart_weekly_lead_time(history.weeks),
        scattered=charts.chart_deployments(history.deployments, history.deployment_count, window),
        duration=charts.format_duration,
        value_of=_format_figure,
        counted=_format_count,
    )


def _format_figure(figure: services_dora.Figure) -> str:
    """Write a figure's value with its unit, or “no data”."""
    if figure.value is None:
        return "no data"
    if figure.unit == "seconds":
        return charts.format_duration(figure.value)
    if figure.unit == "ratio":
        return f"{figure.value * 100:.1f}".removesuffix(".0") + " %"
    # Two significant digits for rare events, so that once a year is not shown as 0.
    number = f"{figure.value:.2g}" if 0 < figure.value < 0.1 else f"{figure.value:.2f}".rstrip("0").rstrip(".")
    return f"{number} a day"


def _format_count(name: str, n: int) -> str:
    """Write what a figure is computed from, such as ``6 commits``."""
    singular, plural = _COUNTED[name]
    return f"{n:,} {singular if n == 1 else plural}"
