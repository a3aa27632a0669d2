"""The session cookie: read from hosts whose clocks differ, and by nobody for longer than it lasts."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from church.web.session_cookie import SessionCookie

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
