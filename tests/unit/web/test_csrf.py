"""Requests that other sites could make a visitor's browser send, and those of this site's own pages."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string, request
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner
from pydantic import SecretStr
from werkzeug.test import TestResponse

from church import create_app
from church.config import Settings
from church.models.accounts import User
from church.observability.metrics import definitions
from church.services import member_tokens, sessions
from church.web import csrf
from tests.support.databases import copy_database
from tests.support.helpers import STRONG, add_view, captured_log, grows, with_settings
from tests.support.people import add_user, sign_in

ORIGIN = "https://church.example"
FOREIGN = [
    "https://evil.example", "http://church.example", "https://church.example.evil.example", "https://", "",
    "https://church.example:8443", "https://evil.example/church.example", "church.example",
]  # fmt: skip
UNSAFE = ["POST", "PUT", "PATCH", "DELETE"]


def site(settings: Settings, **changes: Any) -> Flask:
    app = create_app(with_settings(settings, site_url=ORIGIN, **changes))
    add_view(app, "/form", lambda: render_template_string("{{ csrf_token() }}"))
    methods = ["GET", "HEAD", *UNSAFE]
    add_view(app, "/change", lambda: request.form.get("name", "changed"), methods=methods, forms_of_ours=True)
    add_view(app, "/hook", lambda: "heard", methods=["POST"])  # exempt
    return app


@pytest.fixture
def app(settings: Settings) -> Flask:
    return site(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser on the site's own https address."""
    return app.test_client()


def token_of(client: FlaskClient) -> str:
    return client.get("/form", base_url=ORIGIN).text


def send(client: FlaskClient, path: str = "/change", method: str = "POST", **options: Any) -> TestResponse:
    return client.open(path, method=method, base_url=ORIGIN, **options)


@pytest.mark.parametrize("method", UNSAFE)
def test_form_with_the_token_of_its_session_is_accepted(client: FlaskClient, method: str) -> None:
    token = token_of(client)
    answer = send(client, method=method, data={"csrf_token": token, "name": "Ada"}, headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.text) == (200, "Ada")


def test_token_in_a_header_is_accepted(client: FlaskClient) -> None:
    assert send(client, headers={"X-CSRFToken": token_of(client)}).status_code == 200


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("options", [{}, {"data": {"name": "x"}}, *({"data": {"csrf_token": t}} for t in ("x", ""))])
def test_form_without_a_valid_token_is_refused(client: FlaskClient, method: str, options: dict[str, Any]) -> None:
    token_of(client)
    with grows(definitions.security_events.labels("csrf_refused", "medium")), captured_log() as sink:
        answer = send(client, method=method, **options)
    assert answer.status_code == 400
    assert "This form has expired." in answer.text
    records = [record for record in sink.records if record["event"] == "security.csrf_refused"]
    assert [record["reason"] for record in records] == ["token"]


def test_form_with_the_token_of_another_session_is_refused(app: Flask, client: FlaskClient) -> None:
    other = token_of(app.test_client())
    token_of(client)
    assert send(client, data={"csrf_token": other}).status_code == 400


def test_form_of_a_visitor_without_a_session_is_refused(app: Flask, client: FlaskClient) -> None:
    assert send(client, data={"csrf_token": token_of(app.test_client())}).status_code == 400


def test_token_signed_with_the_previous_key_is_accepted(settings: Settings) -> None:
    old = settings.secret_key
    token = token_of(before := site(settings).test_client())
    cookie = before.get_cookie("__Host-church", domain="church.example")
    assert cookie is not None
    for previous, status in ((old, 200), (None, 400)):
        client = site(settings, secret_key=SecretStr(STRONG), secret_key_previous=previous).test_client()
        client.set_cookie("__Host-church", cookie.value, domain="church.example", secure=True)
        assert send(client, data={"csrf_token": token}).status_code == status


def test_token_is_valid_as_long_as_its_session(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as then:
        then.setattr(TimestampSigner, "get_timestamp", lambda _signer: int(time.time()) - 20 * 86_400)
        token = token_of(client)
    assert send(client, data={"csrf_token": token}).status_code == 200


@pytest.mark.parametrize("origin", FOREIGN)
def test_form_from_another_site_is_refused_even_with_a_valid_token(client: FlaskClient, origin: str) -> None:
    answer = send(client, data={"csrf_token": token_of(client)}, headers={"Origin": origin})
    assert answer.status_code == 400
    assert "This form came from another site" in answer.text
    assert "expired" not in answer.text


@pytest.mark.parametrize("origin", [ORIGIN, ORIGIN.upper(), "null"])
def test_form_with_a_hidden_origin_is_accepted_by_its_token(client: FlaskClient, origin: str) -> None:
    assert send(client, data={"csrf_token": token_of(client)}, headers={"Origin": origin}).status_code == 200


def test_request_to_a_loopback_address_may_come_from_it_in_development(app: Flask) -> None:
    client, here = app.test_client(), "https://127.0.0.1:8000"
    options: dict[str, Any] = {"json": {}, "base_url": here}
    assert client.post("/change", headers={"Origin": here}, **options).status_code == 200
    assert client.post("/change", headers={"Origin": "http://127.0.0.1:8000"}, **options).status_code == 400


@pytest.mark.parametrize("headers", [{}, {"Origin": ORIGIN}, {"Referer": f"{ORIGIN}/auth/login"},
                                     {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])  # fmt: skip
def test_json_from_this_site_or_no_browser_needs_no_token(client: FlaskClient, headers: dict[str, str]) -> None:
    assert send(client, json={"name": "x"}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": origin} for origin in (*FOREIGN, "null")]
    + [{"Referer": f"{origin}/x"} for origin in FOREIGN]
    + [{"Referer": "http://[/"}]
    + [{"Origin": ORIGIN, "Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "")]
    + [{"Origin": "https://evil.example", "Referer": ORIGIN}],
)
def test_json_from_another_site_is_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    with grows(definitions.security_events.labels("csrf_refused", "medium")), captured_log() as sink:
        answer = send(client, json={"name": "x"}, headers=headers)
    assert answer.status_code == 400
    assert answer.get_json()["detail"].startswith("This form came from another site")
    records = [record for record in sink.records if record["event"] == "security.csrf_refused"]
    assert [record["reason"] for record in records] == ["origin"]


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "application/xml",
        "application/x-json",
        "text/json",
        "application/csp-report",
    ],
)
def test_json_sent_with_another_type_is_refused(client: FlaskClient, kind: str) -> None:
    assert send(client, data='{"name": "x"}', content_type=kind).status_code == 415


def test_json_sent_as_a_form_is_refused(client: FlaskClient) -> None:
    answer = send(client, data='{"name": "x"}', content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 400


def test_json_type_with_a_charset_is_recognised(client: FlaskClient) -> None:
    assert send(client, data="{}", content_type="Application/JSON; charset=utf-8").status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_needs_no_token_from_any_site(client: FlaskClient, method: str) -> None:
    answer = send(client, method=method, headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200


def test_machine_endpoint_is_exempt(client: FlaskClient) -> None:
    answer = send(client, "/hook", data="signed", content_type="text/plain", headers={"Origin": "https://evil.example"})
    assert answer.text == "heard"


# -- access tokens ------------------------------------------------------------------------------------------------


@pytest.fixture
def members(settings: Settings, migrated_file: Path) -> Flask:
    """A site with a database."""
    copy_database(migrated_file, settings)
    return site(settings)


def bearer_of(app: Flask, user: User) -> dict[str, str]:
    with app.app_context():
        found = sessions.load(sign_in(app, user))
        assert found is not None
        return {"Authorization": f"Bearer {member_tokens.issue_token(found).token}"}


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    "options",
    [{}, {"data": {"name": "x"}}, {"data": b"piece", "content_type": "application/offset+octet-stream"}],
)
def test_access_token_needs_no_form_token(members: Flask, method: str, options: dict[str, Any]) -> None:
    headers = bearer_of(members, add_user(members))
    assert send(members.test_client(), method=method, headers=headers, **options).status_code == 200


def test_access_token_with_the_cookie_of_a_sign_in_needs_the_form_token(members: Flask) -> None:
    user, browser = add_user(members), members.test_client()
    headers = bearer_of(members, user)
    with browser.session_transaction(base_url=ORIGIN) as cookie:
        cookie["_user_id"] = sign_in(members, user)
    answer = send(browser, data={"name": "x"}, headers=headers)
    assert answer.status_code == 400
    assert "This form has expired." in answer.text
    assert send(browser, data={"csrf_token": token_of(browser), "name": "x"}, headers=headers).text == "x"


def test_access_token_from_another_site_is_refused(members: Flask) -> None:
    headers = {**bearer_of(members, add_user(members)), "Origin": "https://evil.example"}
    assert send(members.test_client(), data={"name": "x"}, headers=headers).status_code == 400


@pytest.mark.parametrize("shown", ["eyJhIjoxfQ.e30.x", "eyJ"])
def test_access_token_that_is_not_valid_is_a_401(client: FlaskClient, shown: str) -> None:
    answer = send(client, data={"name": "x"}, headers={"Authorization": f"Bearer {shown}"})
    assert answer.status_code == 401
    assert "This access token is not valid or has expired." in answer.text


@pytest.mark.parametrize("shown", ["Bearer x", "Bearer church_a_b", "Basic eyJ", "eyJhIjoxfQ.e30.x"])
def test_other_authorization_does_not_replace_the_form_token(client: FlaskClient, shown: str) -> None:
    assert send(client, data={"name": "x"}, headers={"Authorization": shown}).status_code == 400


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/form", 405)])
def test_missing_route_or_method_answers_before_csrf(client: FlaskClient, path: str, status: int) -> None:
    assert send(client, path).status_code == status


def test_exempt_endpoints_come_from_init_app(settings: Settings) -> None:
    app = create_app(settings)
    csrf.init_app(app, exempt=frozenset({"markdown.home"}))
    assert app.extensions["csrf_exempt"] == {"markdown.home"}


def test_session_cookie_is_set_only_with_a_token(client: FlaskClient) -> None:
    assert "Set-Cookie" not in send(client, method="GET").headers
    cookie = client.get("/form", base_url=ORIGIN).headers["Set-Cookie"]
    assert re.match(r"__Host-church=\S+; Secure; HttpOnly; Path=/; SameSite=Lax", cookie)


def test_token_is_the_same_on_every_page_of_a_session(client: FlaskClient) -> None:
    assert token_of(client) == token_of(client)


def test_token_changes_with_the_secret_of_the_session(app: Flask, client: FlaskClient) -> None:
    first = token_of(client)
    with client.session_transaction(base_url=ORIGIN) as cookie:
        del cookie["csrf_token"]
    assert token_of(client) != first
    assert send(client, data={"csrf_token": first}).status_code == 400
