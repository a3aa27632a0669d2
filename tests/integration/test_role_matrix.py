"""Access to every route and method of the site for a stranger, an unconfirmed account, a member and an admin.

A new route fails here until the table has a line for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models.accounts import Role, User
from tests.support.helpers import with_settings
from tests.support.people import PASSWORD, add_user, client_of

pytestmark = [pytest.mark.services, pytest.mark.sqlite_alone]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
STAND_INS = {
    "slug": "nowhere",
    "filename": "nothing.css",
    "ref": "0" * 16,
    "token": "1.forged",
    "what": "register",
    "fingerprint": "0123456789abcdef",
    "request_id": "01a22ebf971025719a3fbd31",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "job_id": "1",
    "mail_id": "1",
    "event_id": "1",
    "grant_id": "1",
    "payment_id": "1",
    "name": "poster.jpg",
    "language": "en",
    "room": "public",
    "number": "1",
    "report_id": "1",
    "sanction_id": "1",
}

MACHINES = {
    "/api/telemetry/alerts",
    "/api/telemetry/deployment",
    "/api/telemetry/errors",
    "/api/telemetry/incident",
    "/stripe/webhook",
}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FILLED_IN = {
    "email": "eve@church.example",
    "password": PASSWORD,
    "current": PASSWORD,
    "name": "Eve",
    "token": "1.forged",
    "role": "admin",
    "all": "1",
}

# Every request asks for JSON and posts {}: what may be used and wants more than that answers 422.
TABLE = """
/                                  GET   200 200 200 200
/admin/                            GET   401 403 403 200
/admin/audit                       GET   401 403 403 200
/admin/find                        GET   401 403 403 200
/admin/find                        POST  401 403 403 200
/admin/health                      GET   401 403 403 200
/admin/jobs                        GET   401 403 403 200
/admin/jobs/<job_id>/retry         POST  401 403 403 409
/admin/live                        GET   401 403 403 200
/admin/live/notice                 GET   401 403 403 200
/admin/live/notice                 POST  401 403 403 422
/admin/live/reports/<report_id>/settle  POST  401 403 403 404
/admin/live/sanctions              GET   401 403 403 200
/admin/live/sanctions              POST  401 403 403 422
/admin/live/sanctions/<sanction_id>/lift  POST  401 403 403 404
/admin/mails                       GET   401 403 403 200
/admin/mails/<mail_id>/retry       POST  401 403 403 409
/admin/maintenance                 GET   401 403 403 200
/admin/maintenance/on              POST  401 403 403 200
/admin/maintenance/off             POST  401 403 403 200
/admin/members                     GET   401 403 403 200
/admin/members/<ref>               GET   401 403 403 404
/admin/members/<ref>/disable       POST  401 403 403 404
/admin/members/<ref>/enable        POST  401 403 403 404
/admin/members/<ref>/end-sessions  POST  401 403 403 404
/admin/members/<ref>/grants        POST  401 403 403 422
/admin/members/<ref>/subscriptions/end  POST  401 403 403 422
/admin/members/<ref>/reset         POST  401 403 403 404
/admin/members/<ref>/role          POST  401 403 403 400
/admin/membership                  GET   401 403 403 200
/admin/membership/events           GET   401 403 403 200
/admin/membership/events/<event_id>  GET   401 403 403 404
/admin/membership/events/<event_id>/replay  POST  401 403 403 404
/admin/membership/grants           GET   401 403 403 200
/admin/membership/grants/<grant_id>/revoke  POST  401 403 403 404
/admin/membership/ledger           GET   401 403 403 200
/admin/membership/ledger.csv       GET   401 403 403 200
/admin/membership/unmatched        GET   401 403 403 200
/admin/membership/unmatched/<payment_id>/assign  POST  401 403 403 422
/admin/membership/unmatched/<payment_id>/dismiss  POST  401 403 403 404
/admin/errors                      GET   401 403 403 200
/admin/errors/<fingerprint>        GET   401 403 403 404
/admin/errors/<fingerprint>/state  POST  401 403 403 422
/admin/logs                        GET   401 403 403 200
/admin/logs.jsonl                  GET   401 403 403 503
/admin/logs/around                 GET   401 403 403 404
/admin/request/<request_id>        GET   401 403 403 200
/admin/traces                      GET   401 403 403 200
/admin/vitals                      GET   401 403 403 200
/admin/traces/<trace_id>           GET   401 403 403 200
/admin/metrics                     GET   401 403 403 200
/admin/metrics.csv                 GET   401 403 403 400
/admin/metrics.json                GET   401 403 403 400
/admin/security                    GET   401 403 403 200
/admin/security/blocks             POST  401 403 403 422
/admin/security/blocks/lift        POST  401 403 403 422
/admin/settings                    GET   401 403 403 200
/admin/video-uploads               POST  401 403 403 422
/admin/video-uploads/<ref>         GET   401 403 403 404
/admin/video-uploads/<ref>         PATCH 401 403 403 415
/admin/video-uploads/<ref>/give-up POST  401 403 403 404
/admin/videos                      GET   401 403 403 200
/admin/videos/<ref>                GET   401 403 403 404
/admin/videos/<ref>                POST  401 403 403 422
/admin/videos/<ref>/captions       POST  401 403 403 422
/admin/videos/<ref>/captions/<language>/delete  POST  401 403 403 404
/admin/videos/<ref>/chapters       POST  401 403 403 404
/admin/videos/<ref>/delete         POST  401 403 403 404
/admin/videos/<ref>/retry          POST  401 403 403 404
/admin/videos/new                  GET   401 403 403 200
/admin/videos/new                  POST  401 403 403 422
/api/telemetry/alerts              POST  422 422 422 422
/api/telemetry/deployment          POST  422 422 422 422
/api/telemetry/errors              POST  422 422 422 422
/api/telemetry/incident            POST  422 422 422 422
/api/telemetry/vitals              POST  204 204 204 204
/auth/account                      GET   401 200 200 200
/auth/account                      POST  401 422 422 422
/auth/account/email                POST  401 422 422 422
/auth/account/password             POST  401 422 422 422
/auth/delete                       GET   401 200 200 200
/auth/delete                       POST  401 422 422 422
/auth/email/<token>                GET   400 400 400 400
/auth/email/<token>                POST  400 400 400 400
/auth/export                       GET   401 200 200 200
/auth/first-admin/<token>          GET   400 400 400 400
/auth/first-admin/<token>          POST  422 422 422 422
/auth/forgot                       GET   200 200 200 200
/auth/forgot                       POST  422 422 422 422
/auth/login                        GET   200 302 302 302
/auth/login                        POST  422 422 422 422
/auth/logout                       POST  200 200 200 200
/auth/register                     GET   200 302 302 302
/auth/register                     POST  422 422 422 422
/auth/reset                        POST  422 422 422 422
/auth/reset/<token>                GET   400 400 400 400
/auth/reset/<token>                POST  422 422 422 422
/auth/sent/<what>                  GET   200 200 200 200
/auth/sessions                     GET   401 200 200 200
/auth/sessions/<ref>/end           POST  401 404 404 404
/auth/sessions/end                 POST  401 200 200 200
/auth/token                        POST  401 403 200 200
/auth/verify                       POST  422 422 422 422
/auth/verify/<token>               GET   400 400 400 400
/auth/verify/<token>               POST  400 400 400 400
/auth/verify/resend                POST  401 202 202 202
/brand/<name>                      GET   404 404 404 404
/dora                              GET   401 403 403 200
/feed.xml                          GET   200 200 200 200
/health                            GET   200 200 200 200
/live                              GET   200 200 200 200
/live/<room>                       GET   401 403 200 200
/live/<room>                       POST  401 403 422 422
/live/<room>/<number>              GET   401 403 404 404
/live/<room>/<number>/delete       POST  401 403 404 404
/live/<room>/<number>/edit         POST  401 403 422 422
/live/<room>/<number>/report       POST  401 403 404 404
/metrics                           GET   200 200 200 200
/pages                             GET   301 301 301 301
/pages/                            GET   200 200 200 200
/pages/<slug>                      GET   404 404 404 404
/pictures/<name>                   GET   404 404 404 404
/ready                             GET   200 200 200 200
/robots.txt                        GET   200 200 200 200
/sitemap-<number>.xml              GET   404 404 404 404
/sitemap.xml                       GET   200 200 200 200
/static/<filename>                 GET   404 404 404 404
/stripe/cancel                     GET   200 200 200 200
/stripe/change                     GET   401 403 422 422
/stripe/change                     POST  401 403 422 422
/stripe/checkout                   POST  401 403 422 422
/stripe/invoices                   GET   401 200 200 200
/stripe/portal                     POST  401 409 409 409
/stripe/pricing                    GET   200 200 200 200
/stripe/success                    GET   401 404 404 404
/stripe/webhook                    POST  400 400 400 400
/ws                                GET   400 400 400 400
/video/                            GET   200 200 200 200
/video/<slug>                      GET   404 404 404 404
/video/access/<slug>               GET   404 404 404 404
/video/assets/<slug>/<name>        GET   404 404 404 404
/video/progress/<slug>             POST  401 403 422 422
/video/settings/resume             POST  401 403 200 200
/video/stream/<slug>               GET   404 404 404 404
"""


def lines() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for line in TABLE.strip().splitlines():
        rule, method, *statuses = line.split()
        yield rule, method, tuple(map(int, statuses))


def named(rule: str) -> str:
    """Write the rule as in the table, without converters."""
    return re.sub(r"<[^:>]*(?:\([^)]*\))?:(\w+)>", r"<\1>", rule)


def path_of(rule: str) -> str:
    return re.sub(r"<(\w+)>", lambda found: STAND_INS[found[1]], rule)


def ask(client: FlaskClient, method: str, path: str, **headers: str) -> int:
    body = None if method in {"GET", "HEAD"} else {}
    sent_headers = {"Accept": "application/json", **headers}
    raw = {"PATH_INFO": unquote(path.partition("?")[0])}  # as sent: the client would read //admin as a host
    return client.open(path, method=method, json=body, headers=sent_headers, environ_overrides=raw).status_code


@pytest.fixture
def site(migrated_site: Settings) -> Iterator[Flask]:
    unlimited = {name: "1000000/minute" for name in Settings.model_fields if name.startswith("limit_")}
    app = create_app(with_settings(migrated_site, **unlimited))
    app.testing = True
    yield app
    with app.app_context():
        db.dispose()


@pytest.fixture
def crowd(site: Flask) -> dict[str, User | None]:
    return {
        "stranger": None,
        "unverified": add_user(site, "unverified@church.example", verified=False),
        "member": add_user(site, "member@church.example"),
        "admin": add_user(site, "admin@church.example", role=Role.ADMIN.value),
    }


@pytest.mark.both_databases
def test_every_route_answers_every_role_as_in_the_table(site: Flask, crowd: dict[str, User | None]) -> None:
    found = {
        (rule, method): tuple(ask(client_of(site, user), method, path_of(rule)) for user in crowd.values())
        for rule, method, _ in lines()
    }
    assert found == {(rule, method): statuses for rule, method, statuses in lines()}


def test_table_lists_exactly_the_sites_routes_and_methods(app: Flask) -> None:
    served = {
        (named(rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == {(rule, method) for rule, method, _ in lines()}


def test_unsupported_method_is_refused_for_every_role(site: Flask, crowd: dict[str, User | None]) -> None:
    taken: dict[str, set[str]] = {}
    for rule, method, _ in lines():
        taken.setdefault(path_of(rule), set()).add(method)
    taken["/auth/verify/resend"].add("GET")  # matches a link with the invalid token "resend"
    clients = [client_of(site, user) for user in crowd.values()]
    answers = {
        (path, method, ask(client, method, path))
        for path, methods in taken.items()
        for method in set(METHODS) - methods
        for client in clients
    }
    assert {(path, method) for path, method, status in answers if status != 405} == set()


@pytest.mark.parametrize(
    "path",
    ["/admin", "//admin/", "/Admin/", "/ADMIN/members", "/admin//members", "/admin/members/", "/admin/%2e/members",
     "/%61dmin/members", "/admin/./members", "/pages/../admin/", "/admin/members;x=1", "/admin/members%00"],
)  # fmt: skip
def test_admin_area_in_another_spelling_is_closed_to_members(
    site: Flask, crowd: dict[str, User | None], path: str
) -> None:
    for role in ("stranger", "unverified", "member"):
        for method in ("GET", "HEAD", "POST"):
            assert ask(client_of(site, crowd[role]), method, path) >= 300


def test_browser_is_redirected_to_sign_in_only_where_needed(site: Flask, crowd: dict[str, User | None]) -> None:
    pages = {path_of(rule): statuses for rule, method, statuses in lines() if method == "GET"}
    for place, user in enumerate(crowd.values()):
        client = client_of(site, user)
        led = {path: client.get(path, headers=BROWSER) for path in pages}
        to_login = {
            path: (answer.status_code, answer.location)
            for path, answer in led.items()
            if (answer.location or "").startswith("/auth/login")
        }
        closed = [path for path, statuses in pages.items() if statuses[place] == 401]
        assert to_login == {path: (303, f"/auth/login?next={quote(path, safe='')}") for path in closed}
        shut = {path for path, statuses in pages.items() if statuses[place] == 403}
        assert {path for path, answer in led.items() if answer.status_code == 403} == shut


@pytest.mark.parametrize("token", [{}, {"csrf_token": ""}, {"csrf_token": "forged"}])
def test_form_without_csrf_token_is_refused_for_every_role(
    site: Flask, crowd: dict[str, User | None], token: dict[str, str]
) -> None:
    rules = [path_of(rule) for rule, method, _ in lines() if method == "POST" and rule not in MACHINES]
    for user in crowd.values():
        client = client_of(site, user)
        for path in rules:
            answer = client.post(path, data={**FILLED_IN, **token}, headers=BROWSER)
            assert (path, answer.status_code, "This form has expired." in answer.text) == (path, 400, True)
        assert user is None or client.get("/auth/account").status_code == 200  # still signed in


def test_routes_without_csrf_are_those_with_signature_or_token(site: Flask) -> None:
    exempt = {rule.rule for rule in site.url_map.iter_rules() if rule.endpoint in site.extensions["csrf_exempt"]}
    assert exempt == MACHINES


def test_method_override_changes_nothing(site: Flask, crowd: dict[str, User | None]) -> None:
    client = client_of(site, crowd["member"])
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert ask(client, "GET", "/auth/delete?_method=POST", **{header: "POST"}) == 200
    assert ask(client, "HEAD", "/auth/logout") == 405
    assert ask(client, "GET", "/auth/account") == 200
