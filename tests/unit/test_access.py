"""Who may use which route, and how a bearer token is asked for."""

from __future__ import annotations

import hmac
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from church import access, create_app
from church.access import EVERYONE, allow, bearer, is_local, policy_of
from church.config import Settings
from church.observability import metrics
from tests.helpers import STRONG, add_view, grows, value, with_settings

NON_ASCII = "schlüssel-" + STRONG
# What is open to strangers; a new route is put here on purpose or declares a policy.
OPEN = {
    "/",
    "/pages",
    "/pages/",
    "/pages/<path:slug>",
    "/feed.xml",
    "/sitemap.xml",
    "/robots.txt",
    "/health",
    "/ready",
    "/static/<path:filename>",
}


def token_site(settings: Settings, token: str | None, **changes: Any) -> FlaskClient:
    from pydantic import SecretStr

    secret = None if token is None else SecretStr(token)
    app = create_app(with_settings(settings, metrics_token=secret, **changes))
    add_view(app, "/guarded", lambda: "in", bearer("metrics:read"))
    return app.test_client()


def asked(client: FlaskClient, authorization: str | None, **environ: str) -> Any:
    base = {"REMOTE_ADDR": "203.0.113.9", **environ}
    if authorization is not None:
        base["HTTP_AUTHORIZATION"] = authorization
    return client.get("/guarded", environ_base=base)


def test_every_route_declares_who_may_use_it(app: Flask) -> None:
    undeclared = [
        rule.rule for rule in app.url_map.iter_rules() if policy_of(app.view_functions[rule.endpoint]) is None
    ]
    assert undeclared == []


def test_routes_that_are_open_to_everyone_are_these(app: Flask) -> None:
    found = {r.rule for r in app.url_map.iter_rules() if policy_of(app.view_functions[r.endpoint]) is EVERYONE}
    assert found == OPEN


def test_metrics_ask_for_the_scope_that_reads_them(app: Flask) -> None:
    (rule,) = (rule for rule in app.url_map.iter_rules() if rule.rule == "/metrics")
    policy = policy_of(app.view_functions[rule.endpoint])
    assert policy is not None
    assert policy.name == "bearer metrics:read"


def test_route_that_declares_nobody_is_refused(app: Flask) -> None:
    called = []
    app.add_url_rule("/forgotten", "forgotten", lambda: called.append(1) or "in")
    answer = app.test_client().get("/forgotten")
    assert answer.status_code == 403
    assert "forgotten does not declare who may use it" in answer.text
    assert called == []


def test_policy_is_kept_by_a_decorated_view(app: Flask) -> None:
    @allow(EVERYONE)
    def view() -> str:
        return "in"

    assert policy_of(view) is EVERYONE
    assert policy_of(lambda: None) is None


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer ", f"Basic {STRONG}", STRONG])
def test_bearer_that_is_not_shown_is_asked_for(settings: Settings, shown: str | None) -> None:
    invalid = metrics.security_events.labels("invalid_token", "medium")
    with grows(invalid, by=0):
        answer = asked(token_site(settings, STRONG), shown)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("shown", ["wrong", STRONG[:-1], STRONG + "x", STRONG.lower(), "schl\xfcssel", "\xff\xfe"])
def test_bearer_that_is_wrong_is_refused_and_seen(settings: Settings, shown: str) -> None:
    client = token_site(settings, STRONG)
    with grows(metrics.security_events.labels("invalid_token", "medium")):
        answer = asked(client, f"Bearer {shown}")
    assert answer.status_code == 401
    assert shown not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_bearer_that_is_right_is_let_in_whatever_the_case_of_its_scheme(settings: Settings, scheme: str) -> None:
    assert asked(token_site(settings, STRONG), f"{scheme} {STRONG}").text == "in"


def test_bearer_of_other_than_ascii_is_compared_by_its_bytes(settings: Settings) -> None:
    client = token_site(settings, NON_ASCII)
    as_sent = NON_ASCII.encode().decode("latin-1")  # what WSGI makes of UTF-8
    assert asked(client, f"Bearer {as_sent}").status_code == 200
    assert asked(client, f"Bearer {as_sent[:-1]}").status_code == 401


def test_bearer_is_compared_in_constant_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(access, "hmac", SimpleNamespace(compare_digest=compare))
    asked(token_site(settings, STRONG), "Bearer wrong")
    assert compared == [(b"wrong", STRONG.encode())]


def test_bearer_is_wanted_from_loopback_too_where_a_token_is_set(settings: Settings) -> None:
    assert asked(token_site(settings, STRONG), None, REMOTE_ADDR="127.0.0.1").status_code == 401


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_reads_without_a_token_in_development(settings: Settings, address: str) -> None:
    assert asked(token_site(settings, None), None, REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize("address", ["203.0.113.9", "10.0.0.1", "2001:db8::1", "", "localhost"])
def test_stranger_without_a_configured_token_is_refused(settings: Settings, address: str) -> None:
    answer = asked(token_site(settings, None), f"Bearer {STRONG}", REMOTE_ADDR=address)
    assert answer.status_code == 403
    assert "METRICS_TOKEN" in answer.text


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"])
def test_loopback_behind_a_proxy_is_nobody(settings: Settings, header: str) -> None:
    client = token_site(settings, None)
    assert asked(client, None, REMOTE_ADDR="127.0.0.1", **{header: "for=127.0.0.1"}).status_code == 403


def test_is_local_of_an_address_that_is_none_is_false(app: Flask) -> None:
    with app.test_request_context(environ_base={"REMOTE_ADDR": "unix:"}):
        assert not is_local()


def test_policy_is_checked_for_every_method(settings: Settings) -> None:
    client = token_site(settings, STRONG)
    before = value(metrics.security_events.labels("invalid_token", "medium"))
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = client.open("/guarded", method=method, headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401
    assert value(metrics.security_events.labels("invalid_token", "medium")) == before + 3
