"""Maintenance mode, and requests that are refused before any view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from church.config import Settings
from church.web import maintenance
from tests.support.helpers import add_view
from tests.support.services_fixture import site_settings


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    return site_settings(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(maintenance.time, "monotonic", lambda: now[0])
    return now


def test_maintenance_is_off_until_it_is_turned_on(site: Settings) -> None:
    assert not maintenance.is_on(site)
    maintenance.turn_on(site)
    assert maintenance.is_on(site)
    maintenance.turn_off(site)
    assert not maintenance.is_on(site)
    maintenance.turn_off(site)


def test_maintenance_of_another_process_is_seen_within_a_second(site: Settings, clock: list[float]) -> None:
    assert not maintenance.is_on(site)
    (site.instance / "maintenance").write_text("{}")
    clock[0] += 0.9
    assert not maintenance.is_on(site), "the file system is asked once a second at most"
    clock[0] += 0.2
    assert maintenance.is_on(site)
    (site.instance / "maintenance").unlink()
    clock[0] += 1.1
    assert not maintenance.is_on(site)


def test_retry_after_is_the_rest_of_the_estimate(site: Settings) -> None:
    maintenance.turn_on(site, minutes=30)
    assert 1790 <= maintenance.retry_after(site) <= 1800


@pytest.mark.parametrize(
    ("content", "expected"), [("", 300), ("{}", 300), ('{"until": null}', 300), ('{"until": 1}', 60)]
)
def test_retry_after_has_a_default_and_a_minimum(site: Settings, content: str, expected: int) -> None:
    maintenance.turn_on(site)
    (site.instance / "maintenance").write_text(content)
    assert maintenance.retry_after(site) == expected


def test_maintenance_of_one_site_leaves_another_on_the_host_open(tmp_path: Path) -> None:
    sites = []
    for name in "ab":
        (tmp_path / name).mkdir()
        sites.append(site_settings(tmp_path / name))
    maintenance.turn_on(sites[0])
    assert [maintenance.is_on(site) for site in sites] == [True, False]


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
