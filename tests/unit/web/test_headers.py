"""Security headers of every response."""

from __future__ import annotations

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from church import create_app
from church.config import Settings
from church.web.headers import add_vary
from tests.support.helpers import add_view, with_settings

EVERY_KIND = ["/health", "/", "/nowhere", "/metrics", "//health", "/static/css/site.css", "/feed.xml"]


@pytest.mark.parametrize("path", EVERY_KIND)
def test_headers_exist_on_every_kind_of_response(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers
    policy = dict(part.partition(" ")[::2] for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "strict-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Request-ID"]
    assert "Server" not in headers
    assert "Strict-Transport-Security" not in headers


@pytest.mark.parametrize("path", EVERY_KIND)
def test_hsts_is_on_every_kind_of_response_of_an_https_site(settings: Settings, path: str) -> None:
    app = create_app(with_settings(settings, site_url="https://church.example"))
    assert (
        app.test_client().get(path, buffered=True).headers["Strict-Transport-Security"]
        == "max-age=31536000; includeSubDomains"
    )


def test_cookies_of_an_https_site_are_secure_and_bound_to_the_host(settings: Settings) -> None:
    app = create_app(with_settings(settings, site_url="https://church.example"))
    assert app.config["SESSION_COOKIE_NAME"] == "__Host-church"
    assert app.config["SESSION_COOKIE_SECURE"] is app.config["SESSION_COOKIE_HTTPONLY"] is True
    assert app.config["SESSION_COOKIE_SAMESITE"] == "Lax"


def test_header_that_a_view_set_is_kept(app: Flask) -> None:
    add_view(app, "/own", lambda: Response("", headers={"Referrer-Policy": "no-referrer"}))
    assert app.test_client().get("/own").headers.getlist("Referrer-Policy") == ["no-referrer"]


@pytest.mark.parametrize(
    ("given", "names", "result"),
    [
        (None, ["Cookie"], "Cookie"),
        ("Accept", ["Cookie", "Accept"], "Accept, Cookie"),
        ("accept,cookie", ["Cookie"], "accept,cookie"),
        ("Accept,Cookie", ["Origin"], "Accept, Cookie, Origin"),
    ],
)
def test_vary_names_each_header_once(given: str | None, names: list[str], result: str) -> None:
    response = Response("", headers={"Vary": given} if given else {})
    add_vary(response, *names)
    assert response.headers["Vary"] == result
