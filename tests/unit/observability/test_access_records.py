"""The access record has what was sent, and of the visitor what is bounded and holds no secret."""

from __future__ import annotations

import time
from typing import Any, Literal

import pytest
from flask import Flask, Response

from church.observability.visitor import show_path
from tests.support.helpers import add_view, captured_log
from tests.support.membership_fixture import Membership

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
TOKEN = "12.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"


def record_of(
    client: Any, path: str, paths: Literal["failures", "always", "never"] = "failures", **options: Any
) -> Any:
    """The access record of one request."""
    with captured_log(paths=paths) as sink:
        client.get(path, buffered=True, **options)
    (record,) = (record for record in sink.records if record["event"] == "http.request")
    return record


def test_record_has_the_bytes_of_the_body(app: Flask) -> None:
    add_view(app, "/x/<name>", lambda name: Response("é" * 10))
    assert record_of(app.test_client(), "/x/y")["bytes"] == 20


def test_record_has_the_cpu_time_that_the_request_used(app: Flask) -> None:
    def work() -> str:
        begin = time.thread_time()
        while time.thread_time() - begin < 0.02:
            pass
        return ""

    add_view(app, "/work", work)
    assert record_of(app.test_client(), "/work")["cpu_ms"] >= 20


def test_record_names_the_kind_of_client_and_where_it_came_from(app: Flask) -> None:
    headers = {"User-Agent": FIREFOX, "Referer": "https://search.example:8443/find?q=a@b.example"}
    record = record_of(app.test_client(), "/", headers=headers)
    assert (record["user_agent"], record["referrer_host"]) == ("Firefox", "search.example")


@pytest.mark.parametrize(
    "referrer",
    ["http://localhost/pages/a", "https://localhost:8000/", "about:blank", "http://[", "//x", "https://a b/", ""],
)
def test_referrer_own_page_or_no_address_is_left_out(app: Flask, referrer: str) -> None:
    assert "referrer_host" not in record_of(app.test_client(), "/", headers={"Referer": referrer})


def test_client_that_names_no_program_has_none(app: Flask) -> None:
    assert "user_agent" not in record_of(app.test_client(), "/", headers={"User-Agent": ""})
    assert record_of(app.test_client(), "/", headers={"User-Agent": "Secret sk_live_12345678"})["user_agent"] == "other"


def test_visitor_path_is_shown_without_the_query(app: Flask) -> None:
    add_view(app, "/x/<name>", lambda name: "")
    assert record_of(app.test_client(), "/x/caf%C3%A9%20one?q=mine")["path"] == "/x/café one"


@pytest.mark.parametrize(("paths", "shown"), [("failures", False), ("always", True), ("never", False)])
def test_member_path_is_shown_where_the_setting_asks(
    membership: Membership, paths: Literal["failures", "always", "never"], shown: bool
) -> None:
    client = membership.browser(membership.add()).client
    record = record_of(client, "/auth/account", paths)
    assert record["user_ref"]
    assert ("path" in record) is shown


def test_member_path_is_shown_if_the_request_fails(membership: Membership) -> None:
    client = membership.browser(membership.add()).client
    assert record_of(client, "/pages/nowhere-at-all")["path"] == "/pages/nowhere-at-all"
    assert "path" not in record_of(client, "/pages/nowhere-at-all", "never")


@pytest.mark.parametrize(
    "headers", [{"Cookie": "church=anything"}, {"Cookie": "a=b; __Host-church=x"}, {"Authorization": "Bearer eyJx"}]
)
def test_path_of_a_file_that_a_browser_with_a_session_fetches_is_left_out(app: Flask, headers: dict[str, str]) -> None:
    client = app.test_client(use_cookies=False)
    assert "path" not in record_of(client, "/static/css/site.css", headers=headers)
    assert record_of(client, "/static/css/site.css")["path"] == "/static/css/site.css"


def test_visitor_path_never_is_left_out(app: Flask) -> None:
    assert "path" not in record_of(app.test_client(), "/pages/nowhere", "never")


@pytest.mark.parametrize("prefix", ["verify", "reset", "email", "first-admin"])
@pytest.mark.parametrize("slash", ["/", "%2F", "//"])
def test_path_with_the_token_of_an_emailed_link_does_not_show_it(app: Flask, prefix: str, slash: str) -> None:
    for path in (
        f"/auth/{prefix}{slash}{TOKEN}",
        f"/auth/{prefix}{slash}{TOKEN[:8]}/x",
        f"/x/auth/{prefix}{slash}{TOKEN}",
    ):
        with captured_log() as sink:
            app.test_client().get(path, buffered=True)
        text = b"".join(sink.lines)
        assert b'"path"' in text
        assert TOKEN[:8].encode() not in text


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        (f"/video/stream/cvt1.{'a' * 60}.bcd/1.mp4", "aaaaaa"),
        ("/find/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJ"),
        ("/find/someone@home.example", "someone"),
        ("/find/some%2540one%40home.example", "home"),
        ("/find/%25%34%30x", "\x00"),
        ("/x/token/hunter2", "hunter2"),
        ("/x/password=hunter2", "hunter2"),
        ("/x/%70assword/hunter2", "hunter2"),
        ("/x/sk_live_abcdefgh12345678", "abcdefgh"),
        ("/x/4111111111111111", "4111"),
        ("/" + "a/" * 145 + "eyJhbGciOiJIUzI1NiJ9" + "b" * 400, "eyJ"),
    ],
)
def test_path_does_not_show_what_looks_like_a_secret(path: str, secret: str) -> None:
    assert secret not in show_path(path)
    assert len(show_path(path)) <= 200


def test_path_is_on_one_line_and_bounded() -> None:
    assert show_path("/a\r\nb\x1b[3m") == "/a\\r\\nb\\x1b[3m"
    assert len(show_path("/" + "é" * 4000)) <= 200
