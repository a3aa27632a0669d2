"""Limits on guessing passwords, at sign-in and within a session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from church import create_app
from church.config import Settings
from church.database import DatabaseDownError
from church.errors import BusyError, UnavailableError
from church.observability.metrics import definitions
from church.services.accounts import passwords
from tests.support.browsing import Browser, expect_attempt
from tests.support.databases import bring_to_head
from tests.support.helpers import grows, with_settings
from tests.support.people import PASSWORD, add_user

EMAIL = "ada@church.example"
RIGHT = {"email": EMAIL, "password": PASSWORD}
WRONG = {"email": EMAIL, "password": "not this one at all"}
NOBODY = {"email": "nobody@church.example", "password": "not this one at all"}
NEW = "nine foxes in the orchard"


@pytest.fixture
def app(settings: Settings) -> Flask:
    """A site that allows three wrong passwords for an account."""
    bring_to_head(settings)
    app = create_app(with_settings(settings, limit_login_account="3/hour"))
    add_user(app, EMAIL)
    return app


@contextmanager
def refused_by(limit: str) -> Iterator[None]:
    """Expect one refusal by ``limit`` in the block: one hit and one security event."""
    events = definitions.security_events
    with (
        grows(definitions.rate_limit_hits.labels(limit)),
        grows(events.labels("login_throttled", "medium")),
        grows(events.labels("rate_limit_exceeded", "low"), by=0),
    ):
        yield


def guess(app: Flask, times: int = 3) -> None:
    """Use up the account's wrong tries, from another client."""
    for _ in range(times):
        assert Browser(app, address="192.0.2.66").post_json("/auth/login", WRONG).status_code == 401


def test_login_guesser_is_throttled_and_the_owner_is_not(app: Flask) -> None:
    guesser = Browser(app, address="192.0.2.66")
    assert [guesser.post_json("/auth/login", WRONG).status_code for _ in range(3)] == [401] * 3
    with expect_attempt("login", "failed_throttled"), refused_by("login_account"):
        answer = guesser.post_json("/auth/login", WRONG)  # the one try of this client
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    with expect_attempt("login", "failed_throttled"), refused_by("login_account"):
        assert guesser.post_json("/auth/login", RIGHT).status_code == 429  # not even checked
    owner = Browser(app, address="198.51.100.7")
    assert owner.submit("/auth/login", RIGHT).status_code == 303


def test_login_each_client_has_one_try_once_the_account_limit_is_reached(app: Flask) -> None:
    found = [
        Browser(app, address=f"192.0.2.{n}").post_json("/auth/login", WRONG).status_code for n in (1, 2, 3, 4, 5, 4)
    ]
    assert found == [401, 401, 401, 429, 429, 429]
    assert Browser(app, address="198.51.100.7").post_json("/auth/login", RIGHT).status_code == 200


def test_login_ipv6_site_has_one_try_once_the_account_limit_is_reached(app: Flask) -> None:
    guess(app)
    assert Browser(app, address="2001:db8:1:1::1").post_json("/auth/login", WRONG).status_code == 429
    answer = Browser(app, address="2001:db8:1:2::1").post_json("/auth/login", RIGHT)
    assert answer.status_code == 429  # not even checked
    assert Browser(app, address="2001:db8:2::1").post_json("/auth/login", RIGHT).status_code == 200


def test_login_owner_at_the_guessers_ip_gets_in_while_tries_are_left(app: Flask) -> None:
    for _ in range(2):
        Browser(app).post_json("/auth/login", WRONG)
    assert Browser(app).post_json("/auth/login", RIGHT).status_code == 200


def test_login_limit_counts_an_address_however_it_is_typed(app: Flask) -> None:
    typed = [EMAIL, EMAIL.upper(), f" {EMAIL} ", "Ada@Church.Example"]
    found = [Browser(app).post_json("/auth/login", {**WRONG, "email": email}).status_code for email in typed]
    assert found == [401, 401, 401, 429]


def test_login_unknown_address_is_throttled_like_a_known_one(app: Flask) -> None:
    browser = Browser(app)
    assert [browser.post_json("/auth/login", NOBODY).status_code for _ in range(5)] == [401] * 3 + [429] * 2


def test_login_throttled_shows_the_wait_and_the_reset_link(app: Flask) -> None:
    browser = Browser(app)
    for _ in range(3):
        browser.post_json("/auth/login", WRONG)
    answer = browser.submit("/auth/login", WRONG)
    assert (answer.status_code, answer.mimetype) == (429, "text/html")
    assert re.search(r"Wait \d+ minutes, or reset your password by email\.", answer.text)
    assert 'href="/auth/forgot"' in answer.text
    assert f'value="{EMAIL}"' in answer.text
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600


def test_login_owner_gets_in_repeatedly_while_the_limit_is_reached(app: Flask) -> None:
    guess(app)
    for _ in range(3):
        assert Browser(app).submit("/auth/login", RIGHT).status_code == 303


def test_login_owner_with_one_wrong_try_waits_like_any_client(app: Flask) -> None:
    guess(app)
    assert Browser(app).post_json("/auth/login", WRONG).status_code == 429
    assert Browser(app, address="198.51.100.7").post_json("/auth/login", RIGHT).status_code == 200
    assert Browser(app).post_json("/auth/login", RIGHT).status_code == 429


@pytest.mark.parametrize("trouble", [BusyError, DatabaseDownError])
def test_login_error_503_gives_the_try_back(
    app: Flask, monkeypatch: pytest.MonkeyPatch, trouble: type[UnavailableError]
) -> None:
    guess(app)

    def fail(*_: object) -> bool:
        raise trouble

    with monkeypatch.context() as busy:
        busy.setattr(passwords, "check_password", fail)
        for _ in range(2):
            assert Browser(app).post_json("/auth/login", RIGHT).status_code == 503
    assert Browser(app).post_json("/auth/login", RIGHT).status_code == 200


def test_login_parallel_tries_of_a_client_count_as_one(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    guess(app)
    statuses = []
    real = passwords.check_password

    def slow(text: str, stored: str | None, sender: passwords.Sender) -> bool:
        statuses.append(Browser(app).post_json("/auth/login", RIGHT).status_code)
        return real(text, stored, sender)

    monkeypatch.setattr(passwords, "check_password", slow)
    assert Browser(app).post_json("/auth/login", WRONG).status_code == 429
    assert statuses == [429]


def test_login_parallel_tries_are_heard_as_often_as_the_account_limit_says(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses: list[int] = []
    clients = iter(range(1, 7))
    real = passwords.check_password

    def slow(text: str, stored: str | None, sender: passwords.Sender) -> bool:
        if (number := next(clients, None)) is not None:
            statuses.append(Browser(app, address=f"192.0.2.{number}").post_json("/auth/login", WRONG).status_code)
        return real(text, stored, sender)

    monkeypatch.setattr(passwords, "check_password", slow)  # each try begins while all before it are being checked
    statuses.append(Browser(app).post_json("/auth/login", WRONG).status_code)
    assert (statuses.count(401), statuses.count(429)) == (3, 4)


def test_login_right_passwords_use_up_no_tries(app: Flask) -> None:
    for _ in range(5):
        assert Browser(app).post_json("/auth/login", RIGHT).status_code == 200
    assert [Browser(app).post_json("/auth/login", WRONG).status_code for _ in range(4)] == [401] * 3 + [429]


def test_login_over_the_ip_limit_is_recorded_as_throttled(settings: Settings) -> None:
    bring_to_head(settings)
    site = create_app(with_settings(settings, limit_login="2/hour"))
    browser = Browser(site)
    assert [browser.post_json("/auth/login", NOBODY).status_code for _ in range(2)] == [401] * 2
    with expect_attempt("login", "failed_throttled"), refused_by("login"):
        assert browser.post_json("/auth/login", NOBODY).status_code == 429


# -- signed-in members ------------------------------------------------------------------------------------------------


def test_password_guesses_from_a_session_are_limited_for_that_session_only(
    settings: Settings,
) -> None:
    bring_to_head(settings)
    app = create_app(with_settings(settings, limit_login_account="3/hour"))
    user = add_user(app)
    thief, owner = Browser(app, user), Browser(app, user, address="198.51.100.7")
    wrong = [
        ("/auth/account/password", {"current": "not this one", "password": NEW}),
        ("/auth/account/email", {"current": "not this one", "email": "new@church.example"}),
        ("/auth/delete", {"password": "not this one"}),
    ]
    assert thief.post_json(wrong[0][0], {"current": PASSWORD, "password": "short"}).status_code == 422  # no guess
    assert [thief.post_json(path, form).status_code for path, form in wrong] == [422] * 3
    with (
        grows(definitions.rate_limit_hits.labels("login_account"), by=3),
        grows(definitions.security_events.labels("login_throttled", "medium"), by=3),
        expect_attempt("login", None),
    ):
        for path, form in wrong:
            answer = thief.post_json(path, {**form, **{n: PASSWORD for n in ("current",) if n in form}})
            assert answer.status_code == 429
            assert int(answer.headers["Retry-After"]) > 0
    changed = owner.post_json("/auth/account/password", {"current": PASSWORD, "password": NEW})
    assert changed.status_code == 200
    assert not thief.is_signed_in()
    assert Browser(app).post_json("/auth/login", {"email": user.email, "password": NEW}).status_code == 200


def test_change_password_works_while_strangers_guess(settings: Settings) -> None:
    bring_to_head(settings)
    app = create_app(with_settings(settings, limit_login_account="3/hour"))
    user = add_user(app)
    owner, stranger = Browser(app, user), Browser(app)
    for _ in range(5):
        stranger.post_json("/auth/login", {"email": user.email, "password": "not this one"})
    changed = owner.post_json("/auth/account/password", {"current": PASSWORD, "password": NEW})
    assert changed.status_code == 200


CHANGE = ("/auth/account/password", {"current": "not this one", "password": NEW})


def test_password_parallel_guesses_from_a_session_are_heard_as_often_as_the_limit_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_to_head(settings)
    app = create_app(with_settings(settings, limit_login_account="3/hour"))
    thief = Browser(app, add_user(app))
    statuses: list[int] = []
    others = iter(range(6))
    real = passwords.check_password

    def slow(text: str, stored: str | None, sender: passwords.Sender) -> bool:
        if next(others, None) is not None:
            statuses.append(thief.post_json(*CHANGE).status_code)
        return real(text, stored, sender)

    monkeypatch.setattr(passwords, "check_password", slow)
    statuses.append(thief.post_json(*CHANGE).status_code)
    assert (statuses.count(422), statuses.count(429)) == (3, 1)
    assert thief.post_json(*CHANGE).status_code == 429


@pytest.mark.parametrize("trouble", [BusyError, DatabaseDownError])
def test_password_check_that_fails_gives_the_try_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, trouble: type[UnavailableError]
) -> None:
    bring_to_head(settings)
    app = create_app(with_settings(settings, limit_login_account="1/hour"))
    member = Browser(app, add_user(app))

    def fail(*_: object) -> bool:
        raise trouble

    with monkeypatch.context() as busy:
        busy.setattr(passwords, "check_password", fail)
        assert [member.post_json(*CHANGE).status_code for _ in range(2)] == [503] * 2
    assert [member.post_json(*CHANGE).status_code for _ in range(2)] == [422, 429]


def test_confirmations_are_limited_by_account_and_by_client_with_the_right_password_too(settings: Settings) -> None:
    bring_to_head(settings)
    app = create_app(with_settings(settings, limit_confirmation="2/hour"))
    ada, eve, joe = (add_user(app, f"{name}@church.example") for name in ("ada", "eve", "joe"))
    same = ("/auth/account/email", {"current": PASSWORD, "email": "ada@church.example"})
    first, second = Browser(app, ada, address="192.0.2.1"), Browser(app, ada, address="192.0.2.2")
    assert [browser.post_json(*same).status_code for browser in (first, second)] == [422] * 2
    with (
        grows(definitions.rate_limit_hits.labels("confirmation")),
        grows(definitions.security_events.labels("rate_limit_exceeded", "low")),
    ):
        answer = Browser(app, ada, address="192.0.2.3").post_json(*same)
    assert (answer.status_code, answer.json["detail"]) == (
        429,
        "Too many changes at once. Wait 60 minutes, then try again.",
    )
    assert int(answer.headers["Retry-After"]) > 0
    assert Browser(app, eve, address="192.0.2.1").post_json(*CHANGE).status_code == 422
    assert Browser(app, joe, address="192.0.2.1").post_json(*CHANGE).status_code == 429
    assert Browser(app, joe, address="192.0.2.4").post_json(*CHANGE).status_code == 422
