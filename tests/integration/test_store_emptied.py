"""A store that was emptied, or had to forget: nobody gains a privilege, nobody is signed out, and limits begin anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from church import create_app
from church.config import Settings, load_settings
from church.extensions import db
from church.services import sessions
from tests.support.browsing import JSON, Browser
from tests.support.databases import copy_database
from tests.support.people import PASSWORD, add_user, sign_in, with_cookie
from tests.support.services_fixture import RedisServer

pytestmark = pytest.mark.services

ATTEMPTS = 4


@pytest.fixture
def app(settings: Settings, migrated_file: Path, redis_server: RedisServer) -> Iterator[Flask]:
    """A site on a real Redis that lets an address try ``ATTEMPTS`` passwords an hour."""
    here = {"CHURCH_INSTANCE": settings.instance, "CHURCH_LOG_DIR": settings.log_dir}
    limits = {"CHURCH_LIMIT_LOGIN": f"{ATTEMPTS}/hour", "CHURCH_STORE_TIMEOUT": "10"}
    site = load_settings(**here, **limits, REDIS_URL=redis_server.url)
    copy_database(migrated_file, site)
    app = create_app(site)
    app.testing = True
    yield app
    with app.app_context():
        db.dispose()


def tries(browser: Browser) -> list[int]:
    """The answers to as many wrong passwords as there are allowed, and one more."""
    form = {"email": "eve@church.example", "password": "wrong"}
    return [browser.post_json("/auth/login", form).status_code for _ in range(ATTEMPTS + 1)]


def access_token(app: Flask, cookie: str) -> str:
    token: str = with_cookie(app.test_client(), cookie).post("/auth/token", json={}).get_json()["token"]
    return token


def export(app: Flask, cookie: str) -> int:
    return with_cookie(app.test_client(), cookie).get("/auth/export", headers=JSON).status_code


def with_bearer(app: Flask, token: str) -> int:
    return app.test_client().get("/auth/account", headers={"Authorization": f"Bearer {token}"}).status_code


def test_emptied_store_gives_no_privilege_and_limits_begin_anew(app: Flask, redis_server: RedisServer) -> None:
    ada = add_user(app)
    staying, gone = sign_in(app, ada), sign_in(app, ada)
    ended = access_token(app, gone)
    assert export(app, staying) == 200
    assert export(app, gone) == 200
    assert with_bearer(app, ended) == 200
    with app.app_context(), db.write() as session:
        found = sessions.load(gone)
        assert found is not None
        sessions.end(session, found.session_ref)
    assert with_bearer(app, ended) == 401
    attacker = Browser(app, address="198.51.100.4")
    refused = [401] * ATTEMPTS + [429]
    assert tries(attacker) == refused
    assert tries(attacker) == [429] * (ATTEMPTS + 1)
    with redis_server.client() as client:
        assert client.dbsize() > 0
        client.flushall()
    assert export(app, staying) == 200
    assert export(app, gone) == 401
    assert with_bearer(app, ended) == 401
    assert tries(attacker) == refused
    assert Browser(app).post_json("/auth/login", {"email": ada.email, "password": PASSWORD}).status_code == 200
