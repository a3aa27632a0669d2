"""The door for reports of errors: a token, a bounded body, and no trace among the visitors' requests."""

from __future__ import annotations

from typing import Any

from flask import Flask
from pydantic import SecretStr

from church.observability.metrics import definitions
from tests.support.helpers import STRONG, grows, with_settings

ERROR = {
    "fingerprint": "0123456789abcdef",
    "error_type": "LookupError",
    "place": "church/services/pages/render.py:render",
    "message": "no page",
    "version": "1.0",
    "first": "2026-11-30T00:00:00Z",
    "last": "2026-11-30T00:00:00Z",
}


def _report(app: Flask, body: Any, token: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return app.test_client().post("/api/telemetry/errors", json=body, headers=headers)


def test_report_says_how_many_are_new(at_work: Flask) -> None:
    requests = definitions.http_requests.labels("POST", "/api/telemetry/errors", "200")
    with grows(requests, 0):
        assert _report(at_work, {"errors": [ERROR]}).get_json() == {"fresh": 1}
    assert _report(at_work, {"errors": [ERROR]}).get_json() == {"fresh": 0}


def test_report_that_is_wrong_is_refused(at_work: Flask) -> None:
    assert _report(at_work, {"errors": [ERROR | {"fingerprint": "x"}]}).status_code == 422
    assert _report(at_work, {"errors": [ERROR] * 201}).status_code == 422


def test_report_needs_the_token_where_one_is_set(at_work: Flask) -> None:
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], metrics_token=SecretStr(STRONG))
    assert _report(at_work, {"errors": []}).status_code == 401
    assert _report(at_work, {"errors": []}, token=STRONG).status_code == 200
