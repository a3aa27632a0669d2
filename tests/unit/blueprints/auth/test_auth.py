"""Hostile input to the account forms: no server error, no echo, no secret in the log, no change from another site."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import User
from church.observability.metrics import definitions
from tests.support.browsing import Browser, expect_attempt, list_audit_actions, load_account
from tests.support.databases import copy_database
from tests.support.helpers import captured_log, grows, value, with_settings
from tests.support.people import PASSWORD, add_user

MARKER = "hunter2"
SQL = "' UNION SELECT 1 FROM users--"
FIELDS = {
    "/auth/register": ("email", "password", "name", "next"),
    "/auth/login": ("email", "password", "next"),
    "/auth/forgot": ("email",),
    "/auth/reset": ("token", "password"),
    "/auth/reset/1.x": ("password",),
    "/auth/verify": ("token",),
    "/auth/first-admin/1.x": ("email", "password", "name"),
    "/auth/account": ("name",),
    "/auth/account/password": ("current", "password"),
    "/auth/account/email": ("current", "email"),
    "/auth/sessions/end": ("all",),
    "/auth/delete": ("password",),
}
BODIES = ['{"a":' * 50_000, "[" * 50_000, "[]", "null", '{"email": NaN}', "{", b'{"email": "\xff"}', "email=a"]
TYPES: list[Any] = [["a"], {"a": {"b": []}}, 1e400, -1, 10**400, 1.5]
NEW = "nine foxes in the orchard"
CHANGES: list[tuple[str, dict[str, str]]] = [
    ("/auth/account", {"name": "Eve"}),
    ("/auth/account/password", {"current": PASSWORD, "password": NEW}),
    ("/auth/account/email", {"current": PASSWORD, "email": "new@church.example"}),
    ("/auth/sessions/end", {"all": "1"}),
    ("/auth/verify/resend", {}),
    ("/auth/delete", {"password": PASSWORD}),
    ("/auth/logout", {}),
    ("/auth/token", {}),
]


def unlimited(settings: Settings) -> Flask:
    """A site with limits too high to matter."""
    return create_app(with_settings(settings, **{f"limit_{name}": "10000/hour" for name in definitions.LIMITS}))


@pytest.fixture
def unlimited_browser(settings: Settings, migrated_file: Path) -> Browser:
    """A signed-in member's browser, on a site without limits."""
    copy_database(migrated_file, settings)
    app = unlimited(settings)
    return Browser(app, add_user(app))


@pytest.fixture
def browser_on_both(migrated_site: Settings) -> Iterator[Browser]:
    """A signed-in member's browser, once on SQLite and once on PostgreSQL."""
    app = unlimited(migrated_site)
    yield Browser(app, add_user(app))
    with app.app_context():
        db.dispose()


def body_of(path: str, **changes: Any) -> dict[str, Any]:
    good = {"email": "eve@church.example", "password": PASSWORD, "current": PASSWORD, "name": "Eve", "token": "1.x"}
    return {**{name: good[name] for name in FIELDS[path] if name in good}, **changes}


@pytest.mark.parametrize("path", FIELDS)
def test_field_of_wrong_type_or_invalid_characters_is_refused(unlimited_browser: Browser, path: str) -> None:
    for field in FIELDS[path]:
        for sent in (*TYPES, "a\0b", "\ud800"):
            if field == "all" and isinstance(sent, int | float):
                continue
            body = json.dumps(body_of(path, **{field: sent}))
            answer = unlimited_browser.client.post(path, data=body, content_type="application/json")
            assert (field, sent, answer.status_code) == (field, sent, 400)
            assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("path", FIELDS)
def test_megabyte_in_a_field_is_refused_and_not_echoed(unlimited_browser: Browser, path: str) -> None:
    for field in FIELDS[path]:
        for size, statuses in ((100_000, {400, 422}), (1_048_577, {413})):
            body = body_of(path, **{field: "x" * size})
            for answer in (unlimited_browser.submit(path, body), unlimited_browser.post_json(path, body)):
                assert answer.status_code in statuses
                assert len(answer.data) < 50_000


@pytest.mark.parametrize("path", FIELDS)
def test_body_not_an_object_is_refused(unlimited_browser: Browser, path: str) -> None:
    for body in BODIES:
        answer = unlimited_browser.client.post(path, data=body, content_type="application/json")
        assert (body[:20], answer.status_code) == (body[:20], 400)


@pytest.mark.parametrize("path", ["/auth/register", "/auth/login", "/auth/account"])
def test_nul_in_a_form_is_refused(unlimited_browser: Browser, path: str) -> None:
    name = FIELDS[path][0]
    assert unlimited_browser.submit(path, body_of(path, **{name: "a\0b"})).status_code == 400
    assert unlimited_browser.submit(path, {"a" * 1000: "\0", **{str(n): "" for n in range(1000)}}).status_code == 413


def sent_and_logged(browser: Browser, path: str, body: dict[str, Any]) -> str:
    with captured_log() as sink:
        browser.submit(path, body)
        browser.post_json(path, body)
        browser.client.post(path, data=json.dumps(body)[:-1], content_type="application/json")
        browser.client.post(path, data=json.dumps(body), content_type="text/plain")
    return json.dumps(sink.records)


@pytest.mark.services
@pytest.mark.parametrize("path", FIELDS)
def test_attack_in_a_secret_field_is_not_logged(browser_on_both: Browser, path: str) -> None:
    secrets = {name: f"a phrase of {MARKER}{SQL}" for name in ("password", "current", "token") if name in FIELDS[path]}
    logged = sent_and_logged(browser_on_both, path, body_of(path, **secrets))
    assert MARKER not in logged
    assert "eve@church.example" not in logged


@pytest.mark.services
@pytest.mark.parametrize("path", ["/auth/register", "/auth/login", "/auth/forgot"])
def test_attack_in_an_ordinary_field_is_detected(browser_on_both: Browser, path: str) -> None:
    body = body_of(path, email=f"x{SQL}", password=f"a phrase of {MARKER}")
    with (
        grows(definitions.suspicious_activity.labels("sql_injection", "form"), by=2),
        grows(definitions.suspicious_activity.labels("sql_injection", "json"), by=2),
    ):
        logged = sent_and_logged(browser_on_both, path, body)
    assert MARKER not in logged


@pytest.mark.services
def test_empty_form_is_refused_with_field_errors(browser_on_both: Browser) -> None:
    errors = value(definitions.security_events.labels("unexpected_error", "low"))
    for path in FIELDS:
        for answer in (browser_on_both.submit(path), browser_on_both.post_json(path)):
            assert answer.status_code in ({303, 200} if path == "/auth/sessions/end" else {422})
    assert value(definitions.security_events.labels("unexpected_error", "low")) == errors


@pytest.mark.parametrize(("path", "form"), CHANGES)
def test_change_from_another_site_is_refused(
    app: Flask, ada: User, browser: Browser, path: str, form: dict[str, str]
) -> None:
    foreign = {"Origin": "https://evil.example"}
    tries: list[Callable[[], int]] = [
        lambda: browser.client.post(path, data=form).status_code,
        lambda: browser.client.post(path, data={**form, "csrf_token": "x"}).status_code,
        lambda: browser.submit(path, form, headers=foreign).status_code,
        lambda: browser.post_json(path, form, headers=foreign).status_code,
        lambda: browser.client.post(path, data=json.dumps(form), content_type="text/plain").status_code,
    ]
    assert [attempt() for attempt in tries] == [400, 400, 400, 400, 415]
    for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"):
        browser.client.open(path, method=method, data=form, headers={"X-HTTP-Method-Override": "POST"})
    assert browser.is_signed_in()
    found = load_account(app, ada.ref)
    assert (found.name, found.email, found.password_hash) == (ada.name, ada.email, ada.password_hash)
    assert list_audit_actions(app) == []


@pytest.mark.parametrize(("path", "form"), CHANGES[:-2])
def test_change_by_a_stranger_leads_to_login(app: Flask, path: str, form: dict[str, str]) -> None:
    with expect_attempt("login", None):
        assert Browser(app).submit(path, form).location == "/auth/login"
        assert Browser(app).post_json(path, form).status_code == 401
