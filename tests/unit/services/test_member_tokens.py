"""Access tokens: valid for ten minutes at most, as long as their session, and only if we signed them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from church.config import Settings
from church.errors import ForbiddenError
from church.extensions import db
from church.models.accounts import User
from church.observability.metrics import definitions
from church.services import member_tokens, sessions
from church.services.member_tokens import find_member, issue_token
from church.services.sessions import SignedIn
from tests.support.helpers import STRONG, grows, with_settings
from tests.support.people import add_user, sign_in

OLD = STRONG[::-1]


@pytest.fixture(autouse=True)
def _inside(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


@pytest.fixture
def ada(app: Flask) -> User:
    return add_user(app)


@pytest.fixture
def signed_in(app: Flask, ada: User) -> SignedIn:
    found = sessions.load(sign_in(app, ada))
    assert found is not None
    return found


def key_of(app: Flask) -> tuple[str, bytes]:
    return next(iter(member_tokens._keys(app.config["CHURCH"].secret_keys).items()))


def made(app: Flask, signed_in: SignedIn, **changes: Any) -> str:
    """A token signed with our key, some of its claims changed; None leaves one out."""
    claims = {**jwt.decode(issue_token(signed_in).token, options={"verify_signature": False}), **changes}
    kid, key = key_of(app)
    return jwt.encode({n: v for n, v in claims.items() if v is not None}, key, "HS256", headers={"kid": kid})


def part(data: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def forged(app: Flask, signed_in: SignedIn, **header: Any) -> str:
    """A token with this header, its signature made by HMAC with our own key as text."""
    claims = issue_token(signed_in).token.split(".")[1]
    text = f"{part({'typ': 'JWT', 'kid': key_of(app)[0], **header})}.{claims}"
    signature = hmac.digest(key_of(app)[0].encode(), text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_token_identifies_the_member_for_ten_minutes(app: Flask, ada: User, signed_in: SignedIn) -> None:
    token = issue_token(signed_in)
    assert timedelta(seconds=595) < token.expires_at - datetime.now(UTC) <= timedelta(seconds=600)
    found = find_member(token.token)
    assert found is not None
    assert (found.user_id, found.session_id, found.token) == (ada.id, signed_in.session_id, "")
    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("http://127.0.0.1:8000", "church", ada.ref)
    assert jwt.get_unverified_header(token.token) == {"alg": "HS256", "typ": "JWT", "kid": key_of(app)[0]}
    assert "ada@" not in json.dumps(claims)


def test_tokens_differ(signed_in: SignedIn) -> None:
    assert issue_token(signed_in).token != issue_token(signed_in).token


def test_issue_with_an_access_token_is_refused(signed_in: SignedIn) -> None:
    found = find_member(issue_token(signed_in).token)
    assert found is not None
    with pytest.raises(ForbiddenError):
        issue_token(found)


def test_token_ends_with_its_session(signed_in: SignedIn) -> None:
    token = issue_token(signed_in).token
    assert find_member(token) is not None
    with db.write() as session:
        sessions.end(session, signed_in.session_ref)
    with grows(definitions.security_events.labels("invalid_token", "medium"), by=0):
        assert find_member(token) is None


@pytest.mark.parametrize("seconds_ahead", [{"exp": -60, "iat": -660}, {"nbf": 600}, {"iat": 600}])
def test_token_expired_or_not_yet_valid_is_none_without_event(
    app: Flask, signed_in: SignedIn, seconds_ahead: dict[str, int]
) -> None:
    changes = {claim: int(time.time()) + ahead for claim, ahead in seconds_ahead.items()}
    with grows(definitions.security_events.labels("invalid_token", "medium"), by=0):
        assert find_member(made(app, signed_in, **changes)) is None


def test_token_has_leeway_for_clock_differences(app: Flask, signed_in: SignedIn) -> None:
    assert find_member(made(app, signed_in, exp=int(time.time()) - 20)) is not None
    assert find_member(made(app, signed_in, iat=int(time.time()) + 20)) is not None


@pytest.mark.parametrize(
    "changes",
    [
        *({"aud": "video"}, {"aud": None}, {"iss": "https://evil.example"}, {"iss": None}, {"exp": None}),
        {"jti": None},
        *({"sub": None}, {"sid": None}, {"sid": ["x"]}, {"sub": 7}, {"sid": 7}, {"sub": "0" * 16}, {"sid": "0" * 16}),
    ],
)
def test_token_with_wrong_claims_is_none(app: Flask, signed_in: SignedIn, changes: dict[str, Any]) -> None:
    assert find_member(made(app, signed_in)) is not None
    assert find_member(made(app, signed_in, **changes)) is None


@pytest.mark.parametrize(
    "header",
    [{"alg": alg} for alg in ("none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "ES256", "", "HS256")]
    + [{"alg": "HS256", "kid": kid} for kid in ("../../dev/null", "' OR 1=1", "", "00000000", 7, None, ["a"], {"a": 1})]
    + [{"alg": "HS256", "jku": "https://evil.example/keys"}, {"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}],
)
def test_token_with_forged_header_is_none_and_an_event(app: Flask, signed_in: SignedIn, header: dict[str, Any]) -> None:
    token = forged(app, signed_in, **header)
    with grows(definitions.security_events.labels("invalid_token", "medium"), by=2):
        assert find_member(token) is None
        assert find_member(token.rpartition(".")[0] + ".") is None


@pytest.mark.parametrize(
    "bend",
    [
        lambda h, c, s: f"{h}.{part({'sub': 'ab12'})}.{s}",
        lambda h, c, s: f"{h}.{c}.{s[::-1]}",
        lambda h, c, s: f"{h}.{c}",
        lambda h, c, s: f"{h}.{c}.{s}.{s}",
        lambda h, c, s: f"{h}.{c}.{s}" + "A" * 2000,
        lambda h, c, s: "é" + h,
        lambda h, c, s: "\ud800",
        lambda h, c, s: "",
    ],
)
def test_token_tampered_with_is_none_and_an_event(signed_in: SignedIn, bend: Callable[[str, str, str], str]) -> None:
    header, claims, signature = issue_token(signed_in).token.split(".")
    with grows(definitions.security_events.labels("invalid_token", "medium")):
        assert find_member(bend(header, claims, signature)) is None


def test_token_of_nested_lists_is_none(signed_in: SignedIn) -> None:
    token = base64.urlsafe_b64encode(b"[" * 720).decode() + ".e30.x"
    former = sys.getrecursionlimit()
    with grows(definitions.security_events.labels("invalid_token", "medium")):
        sys.setrecursionlimit(len(inspect.stack(0)) + 400)
        try:
            assert find_member(token) is None
        finally:
            sys.setrecursionlimit(former)


def test_token_of_the_previous_key_works_until_the_key_is_removed(
    app: Flask, settings: Settings, signed_in: SignedIn
) -> None:
    keys = {"secret_key": SecretStr(STRONG), "secret_key_previous": SecretStr(OLD)}
    app.config["CHURCH"] = with_settings(settings, secret_key=SecretStr(OLD), secret_key_previous=None)
    token = issue_token(signed_in).token
    app.config["CHURCH"] = with_settings(settings, **keys)
    assert find_member(token) is not None
    fresh = issue_token(signed_in).token
    assert jwt.get_unverified_header(fresh)["kid"] != jwt.get_unverified_header(token)["kid"]
    app.config["CHURCH"] = with_settings(settings, secret_key=SecretStr(STRONG), secret_key_previous=None)
    assert find_member(token) is None
    assert find_member(fresh) is not None


def test_key_is_not_the_secret_itself(app: Flask) -> None:
    kid, key = key_of(app)
    secret = app.config["CHURCH"].secret_keys[0].encode()
    assert key != secret
    assert len(key) == 32
    assert kid == hashlib.sha256(key).hexdigest()[:8]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=200) | st.from_regex(r"eyJ[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,40}"))
def test_any_text_is_handled(text: str) -> None:
    assert find_member(text) is None
