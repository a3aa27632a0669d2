"""Requests refused before any view: compressed bodies, invalid hosts, maintenance."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from church.config import Settings
from church.web import maintenance
from tests.support.helpers import add_view


@pytest.mark.parametrize("encoding", ["gzip", "identity", ""])
def test_body_compressed_is_refused(client: FlaskClient, encoding: str) -> None:
    answer = client.post("/pages/", data=b"x", headers={"Content-Encoding": encoding})
    assert answer.status_code == 415


def test_request_without_a_valid_host_is_refused(app: Flask) -> None:
    def call(**environ: str) -> int:
        base: dict[str, Any] = {
            "PATH_INFO": "/health",
            "REQUEST_METHOD": "GET",
            "SERVER_NAME": "x",
            "SERVER_PORT": "80",
        }
        base |= {"wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1", **environ}
        seen = []
        list(app.wsgi_app(base, lambda status, _headers, _exc=None: seen.append(status)))
        return int(seen[0][:3])

    assert call() == 400
    assert call(HTTP_HOST="church.example") == 200
    assert call(SERVER_PROTOCOL="HTTP/1.0") == 200


def test_maintenance_closes_pages_but_not_machine_endpoints(app: Flask, settings: Settings) -> None:
    called = []
    add_view(app, "/other", lambda: called.append(1) or "in")
    client = app.test_client()
    maintenance.turn_on(settings, minutes=2)
    answers = {path: client.get(path) for path in ("/", "/other", "/nowhere", "/health", "/ready", "/metrics")}
    statuses = {path: answer.status_code for path, answer in answers.items()}
    assert statuses == {"/": 503, "/other": 503, "/nowhere": 503, "/health": 200, "/ready": 200, "/metrics": 200}
    assert 60 <= int(answers["/"].headers["Retry-After"]) <= 120
    assert "under maintenance" in answers["/"].text
    assert client.get("/static/css/site.css", buffered=True).status_code == 200
    assert called == []
    maintenance.turn_off(settings)
    assert client.get("/other").text == "in"
