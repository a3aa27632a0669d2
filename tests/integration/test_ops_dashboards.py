"""The dashboards match their code, use only exported metrics, and follow the rules of Grafana's linter.

Rules: https://github.com/grafana/dashboard-linter/blob/main/docs/index.md, repeated in the names of the tests.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from church import create_app
from ops.grafana import build
from tests.support import expressions, promql
from tests.support.programs import program
from tests.support.services_fixture import site_settings

PROMETHEUS, LOKI, TEMPO = "prometheus_datasource", "loki_datasource", "tempo_datasource"
UNITS = {"none", "short", "percentunit", "s", "bytes", "Bps", "reqps", "ops", "bool_yes_no", "locale"}
RATES = {"reqps", "ops", "Bps"}
VISIBLE = {"stat", "timeseries"}
# Recorded series have neither job nor instance, so this dashboard is exempt from the rules about them.
RECORDED = "slo.json"


@pytest.fixture(scope="module")
def boards() -> dict[str, Any]:
    return {name: json.loads(text) for name, text in build.render_dashboards().items()}


@pytest.fixture(scope="module")
def panels(boards: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """List board and panel, without rows."""
    return [(name, panel) for name, board in boards.items() for panel in board["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def queries(panels: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str, dict[str, Any], promql.ParsedQuery]]:
    """List board, panel, target, and the series that its expression names."""
    return [
        (name, panel["title"], target, promql.read(target["expr"]))
        for name, panel in panels
        for target in panel["targets"]
    ]


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    app = create_app(site_settings(tmp_path_factory.mktemp("site")))
    return {rule.rule for rule in app.url_map.iter_rules()} | {"_unmatched"}


def test_dashboards_match_the_code_that_makes_them(tmp_path: Path) -> None:
    assert build.list_stale_files() == []
    shutil.copytree(build.FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dora.json").write_text("{}\n")
    (tmp_path / "extra.json").write_text("{}\n")
    (tmp_path / "slo.json").unlink()
    assert build.list_stale_files(tmp_path) == ["dora.json", "extra.json", "slo.json"]


def test_dashboards_are_the_seven_in_the_docs(boards: dict[str, Any]) -> None:
    titles = {board["title"].removeprefix("Church: ") for board in boards.values()}
    assert titles == {"HTTP", "Authentication", "Stripe payments", "DORA", "Security", "WebSocket", "SLO"}
    document = (expressions.OPS.parent / "docs" / "monitoring.md").read_text()
    assert [title for title in titles if f"| {title} |" not in document] == []


def test_every_expression_names_only_exported_series(
    queries: list[tuple[str, str, dict[str, Any], promql.ParsedQuery]], boards: dict[str, Any], routes: set[str]
) -> None:
    expressions_ = [(name, title, target["expr"]) for name, title, target, _ in queries]
    for name, board in boards.items():
        expressions_ += [(name, note["name"], note["expr"]) for note in board["annotations"]["list"]]
    assert {
        (*where, wrong) for *where, expr in expressions_ for wrong in expressions.find_unknown_names(expr, routes)
    } == set()


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("sum(http_request_total)", "no metric http_request_total"),
        ('rate(http_requests_total{path="/"}[5m])', "http_requests_total has no label path"),
        ("sum by (user) (up)", "grouped by user, which nothing has"),
        ('rate(auth_attempts_total{type="signin"}[5m])', "auth_attempts_total has no type that is signin"),
        (
            'rate(websocket_connections_total{outcome=~"accepted|denied_.+"}[5m])',
            "websocket_connections_total has no outcome that is accepted|denied_.+",
        ),
        ('rate(http_requests_total{route="/nothing"}[5m])', "http_requests_total has no route that is /nothing"),
        ('slo:sli_error:ratio_rate5m{job="church"} or vector(0)', None),
        ('lead_time_seconds_bucket{environment="production", le="300.0"} offset 1h', None),
    ],
)
def test_foreign_name_is_found(expression: str, complaint: str | None) -> None:
    assert expressions.find_unknown_names(expression, {"/"}) == ([complaint] if complaint else [])


@pytest.mark.needs("promtool")
def test_every_expression_is_promql(
    queries: list[tuple[str, str, dict[str, Any], promql.ParsedQuery]], boards: dict[str, Any], tmp_path: Path
) -> None:
    expressions_ = [target["expr"] for _, _, target, _ in queries]
    expressions_ += [note["expr"] for board in boards.values() for note in board["annotations"]["list"]]
    rules = [
        {"record": f"panel:{place}", "expr": expressions.replace_variables(expr)}
        for place, expr in enumerate(expressions_)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(tmp_path / "rules.yml")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "$" not in "".join(rule["expr"] for rule in rules)


def test_counters_are_rates_over_grafanas_window(
    queries: list[tuple[str, str, dict[str, Any], promql.ParsedQuery]],
) -> None:
    for name, title, target, reading in queries:
        for selector in reading.selectors:
            where = (name, title, target["expr"])
            if re.search(r"_(total|bucket|count|sum)$", selector.metric):
                assert selector.within[-1:] in {("rate",), ("increase",)}, where
            if selector.within[-1:] == ("rate",):
                assert selector.range == "$__rate_interval", where


def test_rates_are_shown_as_rates(panels: list[tuple[str, dict[str, Any]]]) -> None:
    for name, panel in panels:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        rated = [bool(re.search(r"^(topk\(10, )?(sum|max)[^/]*\(rate\(", t["expr"])) for t in panel["targets"]]
        if panel["title"] != "CPU":  # CPU seconds per second are cores
            assert all(rated) if unit in RATES else not any(rated), (name, panel["title"], unit)


def test_database_values_are_not_summed_over_hosts(
    queries: list[tuple[str, str, dict[str, Any], promql.ParsedQuery]],
) -> None:
    aggregated = [
        (name, title, next(w for w in reversed(s.within) if w in promql.AGGREGATIONS))
        for name, title, _, reading in queries
        for s in reading.selectors
        if s.metric in expressions.database_samples()
    ]
    assert len(aggregated) > 20
    assert {how for _, _, how in aggregated} == {"max"}, aggregated


def test_every_selector_has_job_and_instance(
    queries: list[tuple[str, str, dict[str, Any], promql.ParsedQuery]],
) -> None:
    bound = {("job", "=~", "$job"), ("instance", "=~", "$instance")}
    for name, title, target, reading in queries:
        for selector in reading.selectors:
            if name != RECORDED:
                assert bound <= set(selector.matchers), (name, title, target["expr"])
            else:
                assert ("sloth_slo", "=~", "$slo") in selector.matchers, (title, target["expr"])


def test_variables_are_data_sources_first_then_job_and_instance(boards: dict[str, Any]) -> None:
    for name, board in boards.items():
        variables = board["templating"]["list"]
        sources = {v["name"]: (v["query"], v["label"]) for v in variables if v["type"] == "datasource"}
        assert sources == {f"{kind}_datasource": (kind, f"{kind.title()} data source") for kind in sources_of()}
        chosen = {v["name"]: v for v in variables if v["type"] == "query"}
        expected = ["service", "slo"] if name == RECORDED else ["job", "instance"]
        assert list(chosen)[:2] == expected, name
        for variable in chosen.values():
            assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
            assert variable["refresh"] == 2  # when the time range changes
            assert variable["datasource"]["uid"] == f"${{{PROMETHEUS}}}"
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert query is not None
            assert expressions.find_unknown_names(f"max by ({query[2]}) ({query[1]})") == []


def sources_of() -> tuple[str, ...]:
    return tuple(name.removesuffix("_datasource") for name in (PROMETHEUS, LOKI, TEMPO))


def test_every_panel_has_description_and_unit(panels: list[tuple[str, dict[str, Any]]]) -> None:
    for name, panel in panels:
        where = (name, panel.get("title"))
        assert panel["type"] in VISIBLE, where
        assert panel["title"], where
        assert len(panel["description"].split()) > 1, where
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, where
        assert panel["datasource"] == {"type": "prometheus", "uid": f"${{{PROMETHEUS}}}"}, where
        assert panel["targets"], where
        assert [t["refId"] for t in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])]), where


def test_legends_use_only_remaining_labels(
    queries: list[tuple[str, str, dict[str, Any], promql.ParsedQuery]],
) -> None:
    for name, title, target, reading in queries:
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= reading.grouped, (name, title)


def test_dashboards_fit_grafanas_schema(boards: dict[str, Any]) -> None:
    assert len({board["uid"] for board in boards.values()}) == len(boards)
    for name, board in boards.items():
        assert {"schemaVersion", "templating", "annotations"} <= board.keys()
        assert 8 <= len(board["uid"]) <= 40
        assert (board["editable"], board["timezone"], board["tags"]) == (False, "utc", ["church"]), name
        assert "id" not in board
        ids = [panel["id"] for panel in board["panels"]]
        assert sorted(set(ids)) == ids
        for panel in board["panels"]:
            if panel["type"] == "row":
                assert (panel["collapsed"], panel["panels"]) == (False, [])


def test_panels_fill_the_grid_without_overlap(boards: dict[str, Any]) -> None:
    for name, board in boards.items():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            x, y, w, h = (panel["gridPos"][key] for key in "xywh")
            cells = {(x + right, y + down) for right in range(w) for down in range(h)}
            assert x + w <= 24, (name, panel["title"])
            assert not cells & taken, (name, panel["title"])
            taken |= cells
        assert {y for _, y in taken} == set(range(max(y for _, y in taken) + 1)), name


def test_dashboards_link_to_logs_traces_and_each_other(boards: dict[str, Any]) -> None:
    for name, board in boards.items():
        logs, traces, others = board["links"]
        for link, source in ((logs, LOKI), (traces, TEMPO)):
            assert link["url"].startswith("/explore?schemaVersion=1&panes=%7B"), name
            assert f"${{{source}}}" in link["url"], name
            assert "${__from}" in link["url"], name
            assert '"' not in link["url"], name
        assert (others["type"], others["tags"], others["keepTime"]) == ("dashboards", ["church"], True)


def test_graphs_show_deployments_and_latency_links_to_traces(
    boards: dict[str, Any], panels: list[tuple[str, dict[str, Any]]]
) -> None:
    for board in boards.values():
        assert [note["name"] for note in board["annotations"]["list"]] == ["Deployments", "Versions"]
        assert all(note["enable"] and note["datasource"]["uid"] for note in board["annotations"]["list"])
    traced = {(name, p["title"]) for name, p in panels for t in p["targets"] if t.get("exemplar")}
    assert ("http.json", "Latency") in traced
    for name, panel in panels:
        for target in panel["targets"]:
            if target.get("exemplar"):
                assert "http_request_duration_seconds_bucket" in target["expr"], (name, panel["title"])
