"""Access rules of routes, and how bearer tokens are checked."""

from __future__ import annotations

import hmac
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
from flask import Flask
from flask.testing import FlaskClient

from church import create_app
from church.config import Settings
from church.database.errors import DatabaseDownError
from church.extensions import db
from church.models.accounts import User
from church.observability.metrics import definitions
from church.web import route_access
from church.web.route_access import ADMINS, EVERYONE, MEMBERS, SIGNED_IN, Policy, allow, bearer, is_local, policy_of
from tests.support.helpers import STRONG, add_view, captured_log, grows, value, with_settings
from tests.support.people import add_user, client_of, with_cookie

NON_ASCII = "schlüssel-" + STRONG
# Routes open to everyone. A new route is either added here on purpose or declares another rule.
OPEN = {
    "/",
    "/api/telemetry/vitals",
    "/pages",
    "/pages/",
    "/brand/<name>",
    "/pictures/<path:name>",
    "/pages/<path:slug>",
    "/feed.xml",
    "/sitemap.xml",
    "/sitemap-<int:number>.xml",
    "/robots.txt",
    "/health",
    "/ready",
    "/static/<path:filename>",
    "/auth/register",
    "/auth/login",
    "/auth/logout",
    "/auth/forgot",
    "/auth/sent/<what>",
    "/auth/reset",
    "/auth/reset/<token>",
    "/auth/verify",
    "/auth/verify/<token>",
    "/auth/email/<token>",
    "/auth/first-admin/<token>",
    "/live",
    "/ws",
    "/stripe/pricing",
    "/stripe/cancel",
    "/stripe/webhook",
    "/video/",
    "/video/<slug>",
    "/video/access/<slug>",
    "/video/assets/<slug>/<name>",
    "/video/stream/<slug>",
}


def token_site(settings: Settings, token: str | None, **changes: Any) -> FlaskClient:
    from pydantic import SecretStr

    secret = None if token is None else SecretStr(token)
    app = create_app(with_settings(settings, metrics_token=secret, **changes))
    add_view(app, "/guarded", lambda: "in", bearer("metrics:read"))
    return app.test_client()


def send(client: FlaskClient, authorization: str | None, **environ: str) -> Any:
    base = {"REMOTE_ADDR": "203.0.113.9", **environ}
    if authorization is not None:
        base["HTTP_AUTHORIZATION"] = authorization
    return client.get("/guarded", environ_overrides=base)


def test_every_route_declares_who_may_use_it(app: Flask) -> None:
    undeclared = [
        rule.rule for rule in app.url_map.iter_rules() if policy_of(app.view_functions[rule.endpoint]) is None
    ]
    assert undeclared == []


def test_open_routes_are_exactly_these(app: Flask) -> None:
    found = {r.rule for r in app.url_map.iter_rules() if policy_of(app.view_functions[r.endpoint]) is EVERYONE}
    assert found == OPEN


def test_metrics_route_requires_its_scope(app: Flask) -> None:
    (rule,) = (rule for rule in app.url_map.iter_rules() if rule.rule == "/metrics")
    policy = policy_of(app.view_functions[rule.endpoint])
    assert policy is not None
    assert policy.name == "bearer metrics:read"


def test_route_without_a_rule_is_refused(app: Flask) -> None:
    called = []
    app.add_url_rule("/forgotten", "forgotten", lambda: called.append(1) or "in")
    answer = app.test_client().get("/forgotten")
    assert answer.status_code == 403
    assert "forgotten does not declare who may use it" in answer.text
    assert called == []


def test_rule_survives_decorators(app: Flask) -> None:
    @allow(EVERYONE)
    def view() -> str:
        return "in"

    assert policy_of(view) is EVERYONE
    assert policy_of(lambda: None) is None


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer ", f"Basic {STRONG}", STRONG])
def test_bearer_missing_is_a_401(settings: Settings, shown: str | None) -> None:
    invalid = definitions.security_events.labels("invalid_token", "medium")
    with grows(invalid, by=0):
        answer = send(token_site(settings, STRONG), shown)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("shown", ["wrong", STRONG[:-1], STRONG + "x", STRONG.lower(), "schl\xfcssel", "\xff\xfe"])
def test_bearer_invalid_is_refused_and_recorded(settings: Settings, shown: str) -> None:
    client = token_site(settings, STRONG)
    with grows(definitions.security_events.labels("invalid_token", "medium")):
        answer = send(client, f"Bearer {shown}")
    assert answer.status_code == 401
    assert shown not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_bearer_valid_is_accepted_whatever_the_case_of_its_scheme(settings: Settings, scheme: str) -> None:
    assert send(token_site(settings, STRONG), f"{scheme} {STRONG}").text == "in"


def test_bearer_with_non_ascii_letters_is_compared_as_bytes(settings: Settings) -> None:
    client = token_site(settings, NON_ASCII)
    as_sent = NON_ASCII.encode().decode("latin-1")  # what WSGI makes of UTF-8
    assert send(client, f"Bearer {as_sent}").status_code == 200
    assert send(client, f"Bearer {as_sent[:-1]}").status_code == 401


def test_bearer_is_compared_in_constant_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(route_access, "hmac", SimpleNamespace(compare_digest=compare))
    send(token_site(settings, STRONG), "Bearer wrong")
    assert compared == [(b"wrong", STRONG.encode())]


def test_bearer_is_required_from_loopback_too_if_a_token_is_set(settings: Settings) -> None:
    assert send(token_site(settings, STRONG), None, REMOTE_ADDR="127.0.0.1").status_code == 401


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_needs_no_token_in_development(settings: Settings, address: str) -> None:
    assert send(token_site(settings, None), None, REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize("address", ["203.0.113.9", "10.0.0.1", "2001:db8::1", "", "localhost"])
def test_remote_caller_without_a_configured_token_is_refused(settings: Settings, address: str) -> None:
    answer = send(token_site(settings, None), None, REMOTE_ADDR=address)
    assert answer.status_code == 403
    assert "METRICS_TOKEN" in answer.text


@pytest.mark.parametrize("shown", ["", "x", "Bearer", "Bearer x", f"Bearer {STRONG}", "Basic eDp4"])
@pytest.mark.parametrize("address", ["127.0.0.1", "203.0.113.9"])
def test_loopback_mode_ignores_no_wrong_token(settings: Settings, address: str, shown: str) -> None:
    assert send(token_site(settings, None), shown, REMOTE_ADDR=address).status_code == 401


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.8.8.8", "[::1]:8000", "own.example"]
)
def test_loopback_mode_accepts_loopback_names_and_the_sites_own(settings: Settings, host: str) -> None:
    client = token_site(with_settings(settings, site_url="http://own.example"), None)
    assert send(client, None, REMOTE_ADDR="127.0.0.1", HTTP_HOST=host).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "[2001:db8::1]", "127.0.0.1.nip.io"]
)
def test_loopback_mode_refuses_a_name_that_was_rebound(settings: Settings, host: str) -> None:
    answer = send(token_site(settings, None), None, REMOTE_ADDR="127.0.0.1", HTTP_HOST=host)
    assert answer.status_code == 403
    assert "CHURCH_SITE_URL" in answer.text


@pytest.mark.parametrize(("origin", "status"), [("http://localhost", 200), ("http://evil.example", 403), ("null", 403)])
def test_loopback_mode_refuses_a_page_of_another_origin(settings: Settings, origin: str, status: int) -> None:
    client = token_site(settings, None)
    assert send(client, None, REMOTE_ADDR="127.0.0.1", HTTP_ORIGIN=origin).status_code == status


@pytest.mark.parametrize("shown", ["Bearer x", "Bearer church_a_b", "Bearer eyJx"])
def test_dora_with_a_wrong_token_from_loopback_is_a_401(client: FlaskClient, shown: str) -> None:
    answer = client.get("/dora", headers={"Accept": "application/json", "Authorization": shown})
    assert answer.status_code == 401


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"])
def test_loopback_behind_a_proxy_is_refused(settings: Settings, header: str) -> None:
    client = token_site(settings, None)
    assert send(client, None, REMOTE_ADDR="127.0.0.1", **{header: "for=127.0.0.1"}).status_code == 403


def test_is_local_of_an_invalid_address_is_false(app: Flask) -> None:
    with app.test_request_context(environ_base={"REMOTE_ADDR": "unix:"}):
        assert not is_local()


def test_rule_is_checked_for_every_method(settings: Settings) -> None:
    client = token_site(settings, STRONG)
    before = value(definitions.security_events.labels("invalid_token", "medium"))
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = client.open("/guarded", method=method, headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401
    assert value(definitions.security_events.labels("invalid_token", "medium")) == before + 3


# -- people ---------------------------------------------------------------------------------------------------------

CLOSED = {"/account": SIGNED_IN, "/club": MEMBERS, "/desk": ADMINS}
JSON = {"Accept": "application/json"}


@pytest.fixture
def closed(app: Flask) -> Flask:
    """The site with a route for each rule."""
    app.config["WTF_CSRF_ENABLED"] = False
    for rule, policy in CLOSED.items():
        add_view(app, rule, lambda: "in", policy, methods=["GET", "POST"])
    add_view(app, "/club/<path:rest>", lambda rest: "in", MEMBERS)
    return app


def person(app: Flask, kind: str) -> User | None:
    changes: dict[str, dict[str, Any]] = {
        "anonymous": {},
        "unverified": {"verified": False},
        "member": {},
        "admin": {"role": "admin"},
        "unverified admin": {"role": "admin", "verified": False},
    }
    return None if kind == "anonymous" else add_user(app, **changes[kind])


@pytest.mark.parametrize(
    ("kind", "account", "club", "desk"),
    [
        ("anonymous", 303, 303, 303),
        ("unverified", 200, 403, 403),
        ("member", 200, 200, 403),
        ("admin", 200, 200, 200),
        ("unverified admin", 200, 403, 403),
    ],
)
def test_rule_lets_in_the_accounts_it_names(closed: Flask, kind: str, account: int, club: int, desk: int) -> None:
    client = client_of(closed, person(closed, kind))
    found = [client.get(rule).status_code for rule in CLOSED]
    assert found == [account, club, desk]


@pytest.mark.parametrize(
    ("asked_for", "comes_back_to"),
    [
        ("/club", "/club"),
        ("/club?page=2&q=a%20b", "/club?page=2&q=a%20b"),
        ("/club/gr%C3%BCn%3Fx", "/club/gr%C3%BCn%3Fx"),
        ("/club?next=//evil.example", "/club?next=//evil.example"),
    ],
)
def test_signed_out_browser_is_sent_to_sign_in_and_back(closed: Flask, asked_for: str, comes_back_to: str) -> None:
    for method in ("GET", "HEAD"):
        answer = closed.test_client().open(asked_for, method=method)
        path, _, query = answer.headers["Location"].partition("?")
        assert (answer.status_code, path) == (303, "/auth/login")
        assert parse_qs(query) == {"next": [comes_back_to]}
        assert answer.headers["Cache-Control"] == "no-store"


def test_signed_out_post_is_sent_to_sign_in_without_return(closed: Flask) -> None:
    answer = closed.test_client().post("/club", data={"a": "b"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/auth/login")
    answer = closed.test_client().get("/club?q=" + "x" * 2000)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/auth/login")


@pytest.mark.parametrize("headers", [JSON, {"Authorization": "Bearer eyJhIjoxfQ.e30.x"}, {"Authorization": "bearer x"}])
def test_signed_out_program_gets_401(closed: Flask, headers: dict[str, str]) -> None:
    answer = closed.test_client().get("/club", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "Sign in first." in answer.text


def test_browser_with_basic_auth_is_sent_to_sign_in(closed: Flask) -> None:
    assert closed.test_client().get("/club", headers={"Authorization": "Basic eHg6eHg="}).status_code == 303


def test_ended_sign_in_counts_as_signed_out(closed: Flask) -> None:
    assert with_cookie(closed.test_client(), "ended").get("/club").status_code == 303


@pytest.mark.parametrize("rule", ["/club", "/desk"])
def test_unconfirmed_admin_or_member_is_asked_to_confirm(closed: Flask, rule: str) -> None:
    answer = client_of(closed, person(closed, "unverified admin")).get(rule, headers=JSON)
    assert answer.status_code == 403
    assert answer.get_json(force=True)["detail"].startswith("Confirm your email address first")


def test_member_on_an_admin_route_is_a_security_event(closed: Flask) -> None:
    member = person(closed, "member")
    assert member is not None
    client = client_of(closed, member)
    with grows(definitions.security_events.labels("role_probe", "medium")), captured_log() as log:
        assert client.post("/desk").status_code == 403
    (record,) = [one for one in log.records if one["event"] == "security.role_probe"]
    assert record["user_ref"] == member.ref
    with grows(definitions.security_events.labels("role_probe", "medium"), by=0):
        client.get("/club")
        closed.test_client().get("/desk")


@pytest.mark.parametrize("policy", [SIGNED_IN, MEMBERS, ADMINS])
def test_closed_routes_answer_503_while_the_database_is_down(
    closed: Flask, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> Any:
        raise DatabaseDownError

    client = client_of(closed, person(closed, "admin"))
    rule = next(rule for rule, found in CLOSED.items() if found is policy)
    monkeypatch.setattr(db, "read_connection", down)
    assert client.get(rule).status_code == 503
    assert client.get(rule, headers=JSON).status_code == 503
    assert closed.test_client().get(rule).status_code == 303
