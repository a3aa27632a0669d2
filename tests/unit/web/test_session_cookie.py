"""The session cookie: read from hosts whose clocks differ, and by nobody for longer than it lasts."""

from __future__ import annotations

import time

import pytest
from flask import Flask, flash, session
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from church.web.session_cookie import SessionCookie
from tests.support.helpers import add_view

LASTS = 100


@pytest.fixture
def serializer() -> URLSafeTimedSerializer:
    app = Flask("test")
    app.secret_key = "x" * 40
    found = SessionCookie().get_signing_serializer(app)
    assert found is not None
    return found


@pytest.mark.parametrize("seconds", [-3600, -1, 0, LASTS])
def test_cookie_counts_for_as_long_as_it_lasts_and_before_it_was_signed(
    serializer: URLSafeTimedSerializer, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    now = int(time.time())
    monkeypatch.setattr(time, "time", lambda: now)
    cookie = serializer.dumps({"since": 1.5})
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    assert serializer.loads(cookie, max_age=LASTS) == {"since": 1.5}


def test_cookie_is_refused_after_it_lasted(serializer: URLSafeTimedSerializer, monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(time.time())
    cookie = serializer.dumps({})
    monkeypatch.setattr(time, "time", lambda: now + LASTS + 2)
    with pytest.raises(SignatureExpired):
        serializer.loads(cookie, max_age=LASTS)


def test_forged_cookie_from_the_future_is_refused(
    serializer: URLSafeTimedSerializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = serializer.dumps({})
    monkeypatch.setattr(time, "time", lambda: 0)
    with pytest.raises(BadSignature):
        serializer.loads(cookie[:-2] + ("aa" if cookie[-2:] != "aa" else "bb"), max_age=LASTS)


def test_app_without_a_key_has_no_serializer() -> None:
    assert SessionCookie().get_signing_serializer(Flask("test")) is None


def test_request_without_the_cookie_needs_no_serializer(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    add_view(app, "/read", lambda: str(session.get("anything")))
    client = app.test_client()
    client.set_cookie("theme", "dark")
    monkeypatch.setattr(SessionCookie, "get_signing_serializer", lambda *_: pytest.fail("a serializer was made"))
    assert client.get("/read").text == "None"


def test_answer_depends_on_the_cookie_once_the_session_was_read(app: Flask) -> None:
    add_view(app, "/read", lambda: str(session.get("anything")))
    add_view(app, "/unread", lambda: "words")
    client = app.test_client()
    assert client.get("/read").headers["Vary"] == "Accept-Encoding, Cookie"
    assert client.get("/unread").headers["Vary"] == "Accept-Encoding"


def test_session_is_stored_when_it_changes_and_only_then(app: Flask) -> None:
    add_view(app, "/change", lambda: flash("Saved.") or "changed")
    add_view(app, "/read", lambda: str(session.get("_flashes")))
    client = app.test_client()
    assert client.get("/change").headers["Set-Cookie"].startswith("church=")
    read = client.get("/read")
    assert "Saved." in read.text
    assert "Set-Cookie" not in read.headers


def test_cookie_of_another_key_is_not_read(app: Flask) -> None:
    add_view(app, "/change", lambda: flash("Saved.") or "changed")
    add_view(app, "/read", lambda: str(session.get("_flashes")))
    client = app.test_client()
    client.get("/change")
    app.config["SECRET_KEY"] = "y" * 40
    assert client.get("/read").text == "None"
    app.config["SECRET_KEY_FALLBACKS"] = ["x" * 40]
    assert client.get("/read").text == "None"


@pytest.mark.parametrize(("age", "is_read"), [(0, True), (50, True), (102, False), (-3600, True)])
def test_age_of_a_cookie_counts_each_time_that_it_is_sent(
    app: Flask, monkeypatch: pytest.MonkeyPatch, age: int, is_read: bool
) -> None:
    app.config["PERMANENT_SESSION_LIFETIME"] = LASTS
    add_view(app, "/read", lambda: str(session.get("word")))
    now = int(time.time())
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie["word"] = "kept"
    assert client.get("/read").text == "kept"
    monkeypatch.setattr(time, "time", lambda: now + age)
    assert client.get("/read").text == ("kept" if is_read else "None")


def test_change_of_one_request_is_not_seen_by_another_with_the_same_cookie(app: Flask) -> None:
    add_view(app, "/change", lambda: session["list"].append(2) or str(session["list"]))
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie["list"] = [1]
    assert [client.get("/change").text for _ in range(2)] == ["[1, 2]", "[1, 2]"]
