"""A host whose clock is wrong: sign-ins and tokens end by it within their leeway, limits hold, durations stay true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from church import create_app
from church.config import Settings, load_settings
from church.extensions import db
from church.services.member_tokens import LIFETIME
from tests.support.browsing import JSON
from tests.support.databases import copy_database
from tests.support.people import add_user, client_of
from tests.support.services_fixture import RedisServer
from tests.support.wrong_clock import turn_clock

pytestmark = pytest.mark.services

MINUTE, HOUR, YEAR = 60, 3600, 366 * 86_400
SEARCHES = 5


@pytest.fixture
def app(settings: Settings, migrated_file: Path, redis_server: RedisServer) -> Iterator[Flask]:
    """A site on Redis, with few searches an hour."""
    folders = {"CHURCH_INSTANCE": settings.instance, "CHURCH_LOG_DIR": settings.log_dir}
    limits = {"CHURCH_LIMIT_SEARCH": f"{SEARCHES}/hour", "CHURCH_STORE_TIMEOUT": "10"}
    site = load_settings(**folders, **limits, REDIS_URL=redis_server.url)
    copy_database(migrated_file, site)
    app = create_app(site)
    yield app
    with app.app_context():
        db.dispose()


@pytest.mark.parametrize(
    ("seconds", "token", "session"),
    [
        (20, 200, 200),
        (-20, 200, 200),
        (LIFETIME + MINUTE, 401, 200),
        (-5 * MINUTE, 401, 200),  # the token is from the future there
        (HOUR, 401, 200),
        (-HOUR, 401, 200),
        (YEAR, 401, 401),
    ],
)
def test_wrong_clock_admits_within_the_leeway_alone(
    app: Flask, monkeypatch: pytest.MonkeyPatch, seconds: int, token: int, session: int
) -> None:
    member = client_of(app, add_user(app))
    bearer = {"Authorization": f"Bearer {member.post('/auth/token', json={}).get_json()['token']}", **JSON}
    turn_clock(monkeypatch, seconds)
    assert app.test_client().get("/auth/account", headers=bearer).status_code == token
    assert member.get("/auth/account", headers=JSON).status_code == session


@pytest.mark.parametrize("seconds", [-HOUR, -5 * MINUTE, 2 * HOUR, YEAR])
def test_step_of_the_clock_starts_one_window_of_a_limit_at_most(
    app: Flask, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    client = app.test_client()
    assert [client.get("/pages/?q=nothing").status_code for _ in range(6)] == [200] * SEARCHES + [429]
    turn_clock(monkeypatch, seconds)
    answers = [client.get("/pages/?q=nothing") for _ in range(SEARCHES + 1)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert all(1 <= int(answer.headers["Retry-After"]) <= HOUR for answer in refused)


@pytest.mark.parametrize("seconds", [-HOUR, -5 * MINUTE, HOUR, YEAR])
def test_step_of_the_clock_is_no_duration(app: Flask, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    @app.get("/step")
    def step() -> str:
        turn_clock(monkeypatch, seconds)
        return "later, or earlier"

    before = duration_sum(app)
    app.test_client().get("/step").close()
    assert 0 < duration_sum(app) - before < HOUR


def duration_sum(app: Flask) -> float:
    """The seconds that all requests of a scrape have taken."""
    lines = app.test_client().get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("http_request_duration_seconds_sum{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)
