"""Health, readiness and metrics, and who may see them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from church import create_app
from church.config import Settings
from church.lib import per_process
from church.lib.version import COMMIT, VERSION
from church.observability.metrics import definitions
from tests.support.forks import in_child
from tests.support.helpers import STRONG, grows, with_settings

STRANGER = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture
def production(settings: Settings) -> FlaskClient:
    changes = {"environment": "production", "metrics_token": SecretStr(STRONG), "bind": "127.0.0.1:8123"}
    return create_app(with_settings(settings, **changes)).test_client()


def test_health_shows_the_facts_of_the_worker(client: FlaskClient) -> None:
    answer = client.get("/health")
    facts: dict[str, Any] = answer.get_json()
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert facts["status"] == "ok"
    age = datetime.now(UTC) - datetime.fromisoformat(facts["timestamp"])
    assert timedelta(seconds=-1) < age < timedelta(minutes=1)
    assert facts["timestamp"].endswith("+00:00")
    assert facts["uptime"] > 0
    assert (facts["version"], facts["commit"]) == (VERSION, COMMIT)
    assert facts["environment"] == "development"
    assert facts["memory"]["rss_bytes"] > 10_000_000
    assert facts["metrics"] == {"endpoint": "/metrics", "port": 8000}


def test_health_of_a_worker_that_was_forked_later_has_its_own_uptime(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(per_process, "_started", time.monotonic() - 1_000_000)
    assert client.get("/health").get_json()["uptime"] >= 1_000_000
    assert in_child(lambda: client.get("/health").get_json()["uptime"]) < 1_000_000


def test_health_in_production_shows_strangers_only_the_status(production: FlaskClient) -> None:
    answer = production.get("/health", environ_base=STRANGER)
    assert set(answer.get_json()) == {"status", "timestamp"}


def test_health_in_production_behind_a_local_proxy_shows_only_the_status(production: FlaskClient) -> None:
    answer = production.get("/health", headers={"X-Forwarded-For": "127.0.0.1"})
    assert set(answer.get_json()) == {"status", "timestamp"}


def test_health_in_production_shows_the_facts_to_its_own_host(production: FlaskClient) -> None:
    facts = production.get("/health").get_json()
    assert facts["environment"] == "production"
    assert facts["metrics"]["port"] == 8123


def test_ready_is_200_with_a_migrated_database(client: FlaskClient) -> None:
    answer = client.get("/ready")
    assert answer.status_code == 200
    checks = {"database": True, "migrations": True}
    assert answer.get_json() == {"status": "ready", "checks": checks, "maintenance": False}
    assert answer.headers["Cache-Control"] == "no-store"


def test_ready_is_503_before_the_migrations(settings: Settings) -> None:
    settings.instance.mkdir(parents=True, exist_ok=True)
    (settings.instance / "church.db").touch()
    answer = create_app(settings).test_client().get("/ready")
    assert answer.status_code == 503
    checks = {"database": True, "migrations": False}
    assert answer.get_json() == {"status": "unavailable", "checks": checks, "maintenance": False}


def test_ready_is_503_without_a_database(app: Flask, settings: Settings) -> None:
    client = app.test_client()
    (settings.instance / "church.db").unlink()
    for rest in settings.instance.glob("church.db-*"):
        rest.unlink()
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.get_json()["checks"] == {"database": False, "migrations": False}
    assert client.get("/health").status_code == 200


def test_health_and_ready_contain_no_paths(production: FlaskClient, tmp_path: Path) -> None:
    for path in ("/health", "/ready"):
        assert str(tmp_path) not in production.get(path, environ_base=STRANGER).text


@pytest.mark.parametrize(
    ("authorization", "status"), [(None, 401), (f"Bearer {STRONG}", 200), (f"Bearer {STRONG[:-1]}", 401)]
)
def test_metrics_in_production_need_the_token_even_from_loopback(
    production: FlaskClient, authorization: str | None, status: int
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    assert production.get("/metrics", headers=headers).status_code == status


def test_scrape_limit_counts_each_once_with_several_apps(settings: Settings) -> None:
    limited = with_settings(settings, limit_telemetry_api="2/hour")
    create_app(limited)
    client = create_app(limited).test_client()
    with grows(definitions.rate_limit_hits.labels("telemetry_api")):
        assert [client.get("/metrics").status_code for _ in range(3)] == [200, 200, 429]
