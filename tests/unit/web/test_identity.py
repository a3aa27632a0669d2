"""Who makes a request: by cookie or token, free of cost without either, unknown while the database is down."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, flash, render_template_string

from church.config import Settings
from church.database.errors import DatabaseDownError
from church.extensions import db
from church.models.accounts import User
from church.services import member_tokens, sessions
from church.services.sessions import cache
from church.web import identity
from tests.support.helpers import add_view, captured_log
from tests.support.people import add_user, client_of, sign_in, with_cookie
from tests.support.services_fixture import site_settings


def who() -> dict[str, Any]:
    """A view that shows who makes the request."""
    found = identity.viewer()
    return {
        "ref": found.ref if found else None,
        "page": render_template_string("{{ viewer.name if viewer else 'nobody' }}"),
        "reader": [identity.reader().member, identity.reader().premium],
        "stranger": identity.is_anonymous(),
    }


@pytest.fixture
def app(app: Flask) -> Flask:
    add_view(app, "/who", who)
    add_view(app, "/known", lambda: {"known": getattr(identity.viewer_or_unavailable(), "ref", None)})
    add_view(app, "/quiet", lambda: "the viewer is not asked for")
    return app


@pytest.fixture
def ada(app: Flask) -> User:
    return add_user(app)


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stop the database for sign-ins that are not cached."""

    def take() -> None:
        def refuse() -> Any:
            raise DatabaseDownError

        monkeypatch.setattr(db, "read_connection", refuse)

    return take


NOBODY = {"ref": None, "page": "nobody", "reader": [False, False], "stranger": True}


# -- cookies --------------------------------------------------------------------------------------------------------


def test_cookie_identifies_the_member(app: Flask, ada: User) -> None:
    answer = client_of(app, ada).get("/who")
    assert answer.json == {"ref": ada.ref, "page": "Ada", "reader": [True, False], "stranger": False}
    assert "Cookie" in answer.headers["Vary"]


def test_cookie_unconfirmed_account_is_identified_but_reads_as_a_visitor(app: Flask) -> None:
    eve = add_user(app, "eve@church.example", verified=False)
    assert client_of(app, eve).get("/who").json == {
        "ref": eve.ref,
        "page": "Ada",
        "reader": [False, False],
        "stranger": False,
    }


def test_log_records_of_a_request_name_the_member(app: Flask, ada: User) -> None:
    client = client_of(app, ada)
    with captured_log() as log:
        client.get("/who", buffered=True)
        client.get("/quiet", buffered=True)
    assert [record.get("user_ref") for record in log.records if record["event"] == "http.request"] == [ada.ref, None]


def test_request_without_cookie_or_token_opens_no_session_or_database(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "current_user", None)
    monkeypatch.setattr(sessions, "load", None)
    answer = app.test_client(use_cookies=False).get("/who", headers={"Cookie": "theme=dark"})
    assert answer.json == NOBODY
    quiet = app.test_client(use_cookies=False).get("/quiet", headers={"Cookie": "church=x"})
    assert "Cookie" not in quiet.headers.get("Vary", "")
    assert "Set-Cookie" not in quiet.headers


@pytest.mark.parametrize(
    "cookie",
    [
        *("x", "", ".", "eyJfdXNlcl9pZCI6IjEifQ.aaaaaa.bbbb", ".eJwtzjEOwjAMAE.x.y", '"', "\xff\xfe", "a" * 4000),
        "gASVCgAAAAAAAACMBmV2aWyULg==",
    ],
)
@pytest.mark.parametrize("name", ["church", "remember_token", "session"])
def test_cookie_forged_is_anonymous(app: Flask, cookie: str, name: str) -> None:
    header = f"{name}={cookie}|{cookie}; church=x"
    answer = app.test_client(use_cookies=False).get("/who", environ_base={"HTTP_COOKIE": header})
    assert (answer.status_code, answer.json) == (200, NOBODY)


@pytest.mark.parametrize("token", ["unknown", "", 7, None, ["a"], {"a": 1}, True])
def test_cookie_signed_without_a_valid_token_is_anonymous(app: Flask, ada: User, token: Any) -> None:
    client = with_cookie(app.test_client(), token)
    with client.session_transaction() as cookie:
        cookie["since"] = "yesterday"
    assert client.get("/who").json == NOBODY


def test_cookie_copied_is_invalid_after_sign_out(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    client, copy = (with_cookie(app.test_client(), token) for _ in range(2))
    assert client.get("/who").json != NOBODY
    with app.app_context(), db.write() as session:
        sessions.end_all(session, ada.id)
    assert client.get("/who").json == copy.get("/who").json == NOBODY


def test_cookie_signed_with_the_previous_key_is_valid(settings: Settings, app: Flask, ada: User) -> None:
    client = client_of(app, ada)
    app.config["SECRET_KEY_FALLBACKS"] = [app.config["SECRET_KEY"]]
    app.config["SECRET_KEY"] = "another key than before, of some length"
    assert client.get("/who").json != NOBODY
    app.config["SECRET_KEY_FALLBACKS"] = []
    assert client.get("/who").json == NOBODY


# -- login and logout -----------------------------------------------------------------------------------------------


def test_begin_drops_the_session_before_and_end_drops_everything(app: Flask, ada: User) -> None:
    token = sign_in(app, ada)
    add_view(app, "/in", lambda: (identity.start_browser_session(token), who())[1], methods=["POST"])
    add_view(app, "/out", lambda: (identity.end_browser_session(), who())[1], methods=["POST"])
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()
    with client.session_transaction() as planted:
        planted["csrf_token"], planted["registered"] = "planted", "somebody"
    json_body = {"content_type": "application/json", "data": "{}"}
    answer = client.post("/in", **json_body)  # type: ignore[arg-type]
    assert answer.json is not None
    assert answer.json["ref"] == ada.ref
    cookie = answer.headers["Set-Cookie"]
    assert len(cookie) < 400
    assert "Expires=" in cookie
    with client.session_transaction() as now:
        assert dict(now) == {"_user_id": token, "_permanent": True}
    assert client.get("/who").json != NOBODY
    assert "Set-Cookie" not in client.get("/who").headers
    assert client.post("/out", **json_body).json == {**NOBODY, "stranger": False}  # type: ignore[arg-type]
    assert client.get_cookie("church") is None


def test_cookie_lasts_as_long_as_a_sign_in_can(tmp_path: Any) -> None:
    from church import create_app

    app = create_app(site_settings(tmp_path, CHURCH_SESSION_LIFETIME=7200))
    assert app.permanent_session_lifetime.total_seconds() == 7200


def test_renew_shows_the_current_account(app: Flask, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FRESH_SECONDS", 600)

    def rename() -> str:
        with db.write() as session:
            session.get_one(User, ada.id).name = "Ada Lovelace"
        return ""

    def renew() -> str:
        identity.refresh_viewer()
        return "".join((identity.viewer() or ada).name)

    add_view(app, "/rename", rename)
    add_view(app, "/renew", renew)
    client, other = client_of(app, ada), client_of(app, ada)
    seen = [one.get("/who").json for one in (client, other)]
    client.get("/rename")
    assert [one.get("/who").json for one in (client, other)] == seen
    assert client.get("/renew").text == "Ada Lovelace"
    assert client.get("/who").json != seen[0]
    assert other.get("/who").json == seen[1]


# -- access tokens --------------------------------------------------------------------------------------------------


def bearer_of(app: Flask, user: User) -> str:
    with app.app_context():
        found = sessions.load(sign_in(app, user))
        assert found is not None
        return member_tokens.issue_token(found).token


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_access_token_identifies_the_member(app: Flask, ada: User, kind: str) -> None:
    headers = {"Authorization": f"{kind} {bearer_of(app, ada)}"}
    answer = app.test_client().get("/who", headers=headers)
    assert answer.json is not None
    assert answer.json["ref"] == ada.ref
    stale = with_cookie(app.test_client(), "ended")
    assert stale.get("/who", headers=headers).json == answer.json


@pytest.mark.parametrize("header", ["Bearer eyJ", "Bearer eyJhIjoxfQ.e30.x", "Bearer", "Basic eyJ", "\xff", "Bearer x"])
def test_authorization_header_without_our_token_is_anonymous(app: Flask, header: str) -> None:
    assert app.test_client().get("/who", environ_base={"HTTP_AUTHORIZATION": header}).json == NOBODY


# -- no database ----------------------------------------------------------------------------------------------------


def test_database_down_member_is_anonymous_on_public_pages(app: Flask, ada: User, down: Any) -> None:
    client = client_of(app, ada)
    bearer = {"Authorization": f"Bearer {bearer_of(app, ada)}"}
    with app.app_context():
        sessions.forget_cached()
    down()
    assert client.get("/who").json == {**NOBODY, "stranger": False}
    assert client.get("/known").status_code == 503
    assert app.test_client().get("/known", headers=bearer).status_code == 503
    assert app.test_client().get("/who", headers=bearer).json == {**NOBODY, "stranger": False}


def test_database_down_visitor_without_cookie_is_still_anonymous(app: Flask, down: Any) -> None:
    down()
    client = app.test_client()
    assert client.get("/known").json == {"known": None}
    with client.session_transaction() as cookie:
        cookie["csrf_token"] = "x"
    assert client.get("/known").json == {"known": None}


# -- templates and caches -------------------------------------------------------------------------------------------


def test_viewer_outside_a_request_is_none(app: Flask) -> None:
    with app.app_context():
        assert identity.viewer() is None
        assert render_template_string("{{ viewer is none }}") == "True"


def test_page_with_a_flashed_message_is_personal(app: Flask) -> None:
    def shown() -> dict[str, Any]:
        page = render_template_string("{{ get_flashed_messages()|join }}")
        return {"page": page, "stranger": identity.is_anonymous()}

    add_view(app, "/flash", lambda: flash("signed out") or "")
    add_view(app, "/shown", shown)
    client = app.test_client()
    client.get("/flash")
    assert client.get("/shown").json == {"page": "signed out", "stranger": False}
    assert client.get("/shown").json == {"page": "", "stranger": True}
