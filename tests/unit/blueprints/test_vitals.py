"""Reports of web vitals: counted by kind of page and device, bounded, and kept out of everything else."""

from __future__ import annotations

from typing import Any

import brotli
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from church import create_app
from church.config import Settings
from church.observability.metrics import definitions
from tests.support.helpers import captured_log, grows, with_settings

PAGE = "/pages/<path:slug>"
REPORT = {"route": PAGE, "device": "phone", "lcp": 1234.5, "inp": 80, "ttfb": 210.0, "cls": 0.02}


def _report(client: FlaskClient, body: Any, **options: Any) -> TestResponse:
    return client.post("/api/telemetry/vitals", json=body, **options)


def test_report_is_counted_by_route_and_device_in_seconds(client: FlaskClient) -> None:
    labels = (PAGE, "phone")
    expected = (
        (definitions.web_vitals_lcp, 1.2345),
        (definitions.web_vitals_inp, 0.08),
        (definitions.web_vitals_ttfb, 0.21),
        (definitions.web_vitals_cls, 0.02),
    )
    before = [histogram.labels(*labels)._sum.get() for histogram, _ in expected]
    assert _report(client, REPORT).status_code == 204
    grown = [histogram.labels(*labels)._sum.get() - was for (histogram, _), was in zip(expected, before, strict=True)]
    assert grown == pytest.approx([amount for _, amount in expected])


def test_report_counts_script_errors(client: FlaskClient) -> None:
    with grows(definitions.web_script_errors.labels(PAGE, "desktop"), 3):
        _report(client, {"route": PAGE, "device": "desktop", "errors": 3})


def test_report_unknown_route_and_device_are_counted_as_other(client: FlaskClient) -> None:
    for route in ("/pages/made-up", "/admin/members", "/api/telemetry/vitals", 7, None):
        with grows(definitions.web_script_errors.labels("other", "other"), 1):
            _report(client, {"route": route, "device": "fridge", "errors": 1})


@pytest.mark.parametrize(
    "change", [{"lcp": -1}, {"cls": 101}, {"inp": "80"}, {"ttfb": True}, {"errors": 1e9}, {"lcp": [1]}]
)
def test_report_impossible_value_is_refused_and_nothing_is_counted(client: FlaskClient, change: dict[str, Any]) -> None:
    with grows(definitions.web_script_errors.labels(PAGE, "phone"), 0):
        assert _report(client, REPORT | {"errors": 1} | change).status_code == 400


def test_report_longer_than_2_kb_is_refused(client: FlaskClient) -> None:
    assert _report(client, REPORT | {"device": "x" * 2100}).status_code == 413


def test_report_of_another_site_is_refused(client: FlaskClient) -> None:
    with grows(definitions.web_script_errors.labels(PAGE, "phone"), 0):
        answer = _report(client, REPORT | {"errors": 1}, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 400


def test_report_with_global_privacy_control_is_not_counted(client: FlaskClient) -> None:
    with grows(definitions.web_script_errors.labels(PAGE, "phone"), 0):
        assert _report(client, REPORT | {"errors": 1}, headers={"Sec-GPC": "1"}).status_code == 204


def test_report_is_no_request_in_the_figures_and_no_record(client: FlaskClient) -> None:
    requests = definitions.http_requests.labels("POST", "/api/telemetry/vitals", "204")
    with grows(requests, 0), captured_log() as sink:
        _report(client, REPORT)
    assert not sink.records


def test_page_has_the_module_with_its_share_and_route(app: Flask, client: FlaskClient) -> None:
    page = client.get("/pages/first-run").text
    assert f'data-vitals data-share="1.0" data-route="{PAGE.replace("<", "&lt;").replace(">", "&gt;")}"' in page


def test_page_has_no_module_where_vitals_are_off(settings: Settings) -> None:
    client = create_app(with_settings(settings, web_vitals=0)).test_client()
    assert "data-vitals" not in client.get("/pages/first-run").text
    with grows(definitions.web_script_errors.labels(PAGE, "phone"), 0):
        assert _report(client, REPORT | {"errors": 1}).status_code == 204


def test_module_has_at_most_1536_bytes_compressed(client: FlaskClient) -> None:
    assert len(brotli.compress(client.get("/static/js/vitals.js").data)) <= 1536
