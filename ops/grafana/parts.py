"""Panels, variables, links and annotations that all dashboards share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard

from ops.grafana.queries import SITE, Query

METRICS, LOGS, TRACES = "prometheus_datasource", "loki_datasource", "tempo_datasource"
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid=f"${{{METRICS}}}")
Panel = timeseries.Panel | stat.Panel
Kind = TypeVar("Kind", timeseries.Panel, stat.Panel)
Steps = Sequence[tuple[float, str]]
"""Values at which the colour changes, and the colours; below the first value it is the start colour."""


@dataclass(frozen=True)
class Board:
    """A dashboard: rows of panels, and its variables in addition to data source, job and instance."""

    uid: str
    title: str
    about: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    logs: str
    """Filter for the *Logs* link, in LogQL, after the stream."""
    traces: str
    """Filter for the *Traces* link, in TraceQL."""
    choices: Sequence[tuple[str, str, str]] = ()
    """Variables: name, label, query."""
    span: str = "now-6h"
    instances: bool = True
    """False if all series are recorded by rules; these have neither job nor instance."""


def graph(
    title: str, about: str, unit: str, *queries: Query, width: int = 12, stacked: bool = False, top: float | None = None
) -> timeseries.Panel:
    """Make a panel of lines over time; ``stacked`` adds them up, ``top`` is the natural end of the axis."""
    panel = (
        timeseries.Panel()
        .fill_opacity(30 if stacked else 8)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            options.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
        .min(0)
    )
    if stacked:
        panel.stacking(options.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if top is not None:
        panel.max(top)
    return _common(panel, title, about, unit, queries, width, 8)


def number(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    width: int = 4,
    steps: Steps = (),
    start: str = "green",
    empty: str = "no data",
    decimals: int | None = None,
) -> stat.Panel:
    """Make a panel with one figure per series and a sparkline; ``empty`` is the text without data."""
    thresholds = [dashboard.Threshold(value=None, color=start)]
    thresholds += [dashboard.Threshold(value=value, color=colour) for value, colour in steps]
    panel = (
        stat.Panel()
        .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.AUTO)
        .justify_mode(common.BigValueJustifyMode.AUTO)
        .orientation(common.VizOrientation.AUTO)
        .thresholds(boards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(thresholds))
        .color_scheme(boards.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .no_value(empty)
    )
    if decimals is not None:
        panel.decimals(decimals)
    return _common(panel, title, about, unit, queries, width, 4)


def _common(panel: Kind, title: str, about: str, unit: str, queries: Iterable[Query], width: int, height: int) -> Kind:
    panel.title(title).description(about).unit(unit).datasource(SOURCE).height(height).span(width)
    for index, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + index)).datasource(SOURCE).range()
        target.legend_format(query.legend or title)
        if query.exemplar:
            target.exemplar(True)
        panel.with_target(target)
    return panel


# -- dashboards -----------------------------------------------------------------------------------------------------


class _Annotation(boards.AnnotationQuery):
    """An annotation of Prometheus with title and text, for which the SDK has no fields."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._texts = {"titleFormat": title, "textFormat": text}

    def build(self) -> Any:
        return {**super().build().to_json(), **self._texts}


def render_board(board: Board) -> str:
    """Render the JSON that Grafana reads: always the same bytes for the same board."""
    builder = (
        boards.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["church"])
        .timezone("utc")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time(board.span, "now")
        .refresh("1m")
        .version(1)
        .variables(list(_variables(board)))
        .links(list(_links(board)))
    )
    for annotation in _annotations(board):
        builder.annotation(annotation)
    for title, panels in board.rows:
        builder.with_row(boards.Row(title))
        for panel in panels:
            builder.with_panel(panel)
    result = builder.build()
    for panel_id, panel in enumerate(result.panels or (), 1):
        panel.id_val = panel_id
    return json.dumps(result, cls=JSONEncoder, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _variables(board: Board) -> Iterable[Any]:
    for name, kind in ((METRICS, "prometheus"), (LOGS, "loki"), (TRACES, "tempo")):
        yield boards.DatasourceVariable(name).label(f"{kind.title()} data source").type(kind)
    if board.instances:
        yield _choice("job", "Job", "label_values(gunicorn_workers, job)")
        yield _choice("instance", "Instance", 'label_values(gunicorn_workers{job=~"$job"}, instance)')
    for name, label, query in board.choices:
        yield _choice(name, label, query)


def _choice(name: str, label: str, query: str) -> boards.QueryVariable:
    all_values = dashboard.VariableOption(selected=True, text="All", value="$__all")
    return (
        boards.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(all_values)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )


def _annotations(board: Board) -> Iterable[_Annotation]:
    """Mark recorded deployments, and each version when an instance first runs it."""
    scope = f"{{{SITE}}}" if board.instances else ""
    sample = f'dora_sample_size{{{SITE + ", " if board.instances else ""}metric="deployment_frequency"}}'
    deployments = f"max by (environment) ({sample})"
    running = f"max by (version, commit) (build_info{scope})"
    before = f"max by (version, commit) (last_over_time(build_info{scope}[1h] offset $__interval))"
    yield _annotation(
        "Deployments",
        "blue",
        f"{deployments} > max by (environment) ({sample} offset $__interval)",
        "Deployed",
        "{{environment}}",
    )
    yield _annotation("Versions", "purple", f"{running} unless {before}", "Version {{version}}", "commit {{commit}}")


def _annotation(name: str, colour: str, expr: str, title: str, text: str) -> _Annotation:
    annotation = _Annotation(title, text).name(name).datasource(SOURCE).enable(True).icon_color(colour).expr(expr)
    assert isinstance(annotation, _Annotation)
    return annotation


def _links(board: Board) -> Iterable[boards.DashboardLink]:
    logs = {"expr": f'{{service_name="church"}} {board.logs}'.strip(), "queryType": "range"}
    traces = {"query": board.traces, "queryType": "traceql", "limit": 20}
    yield _link("Logs", "The site's log records of this time", make_explore_link(LOGS, "loki", logs))
    yield _link("Traces", "Sampled requests of this time", make_explore_link(TRACES, "tempo", traces))
    others = boards.DashboardLink("Church").type(dashboard.DashboardLinkType.DASHBOARDS).tags(["church"])
    yield others.as_dropdown(True).keep_time(True).include_vars(False).icon("external link").tooltip("")


def _link(title: str, tooltip: str, url: str) -> boards.DashboardLink:
    link = boards.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(url).tooltip(tooltip)
    return link.icon("doc").target_blank(True)


def make_explore_link(variable: str, kind: str, query: dict[str, Any]) -> str:
    """Make a link to Explore with a query. Variables stay unquoted, so that Grafana replaces them."""
    source = f"${{{variable}}}"
    target = {"refId": "A", "datasource": {"type": kind, "uid": source}, **query}
    pane = {"datasource": source, "queries": [target], "range": {"from": "${__from}", "to": "${__to}"}}
    text = json.dumps({"church": pane}, separators=(",", ":"))
    parts = re.split(r"(\$\{\w+\})", text)
    return "/explore?schemaVersion=1&panes=" + "".join(p if p.startswith("${") else quote(p, safe="") for p in parts)
