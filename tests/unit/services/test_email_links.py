"""One-time links."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from church.config import Settings, current_settings
from church.extensions import db
from church.models import Link, User
from church.models.base import utc_now
from church.services import email_links
from church.services.email_links import LinkError, Purpose
from tests.support.helpers import STRONG, with_settings


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


@pytest.fixture
def user() -> User:
    with db.write() as session:
        user = User(
            ref="u1", email="a@example.org", email_key="a@example.org", name="", source="web", created_at=utc_now(),
            password_hash="$2b$",
        )  # fmt: skip
        session.add(user)
        session.flush()
    return user


def make(purpose: Purpose, user: User | None = None, email: str | None = None) -> Link:
    with db.write() as session:
        return email_links.make(session, purpose, user, email)


def token_of(link: Link) -> str:
    return email_links.link_token(link, current_settings().secret_keys)


def redeem(token: str, purpose: Purpose) -> Link:
    with db.write() as session:
        return email_links.redeem(session, token, purpose)


def test_link_is_used_once(user: User) -> None:
    link = make(Purpose.VERIFY, user, "a@example.org")
    used = redeem(token_of(link), Purpose.VERIFY)
    assert (used.user_id, used.email) == (user.id, "a@example.org")
    with pytest.raises(LinkError):
        redeem(token_of(link), Purpose.VERIFY)


def test_redeem_rolled_back_keeps_the_link(user: User) -> None:
    token = token_of(make(Purpose.RESET, user))
    with pytest.raises(ZeroDivisionError), db.write() as session:  # noqa: PT012 (the block is the transaction)
        email_links.redeem(session, token, Purpose.RESET)
        raise ZeroDivisionError
    assert email_links.peek(token, Purpose.RESET) is not None


def test_peek_keeps_the_link(user: User) -> None:
    token = token_of(make(Purpose.RESET, user))
    for _ in range(2):
        found = email_links.peek(token, Purpose.RESET)
        assert found is not None
        assert found.user_id == user.id


def test_link_for_another_purpose_is_refused(user: User) -> None:
    token = token_of(make(Purpose.VERIFY, user))
    assert email_links.peek(token, Purpose.RESET) is None
    with pytest.raises(LinkError):
        redeem(token, Purpose.RESET)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_link_works_until_its_lifetime_is_over(user: User, purpose: Purpose) -> None:
    link = make(purpose, user)
    assert link.expires_at - link.created_at == email_links.LIFETIMES[purpose]
    with db.write() as session:
        session.execute(update(Link).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert email_links.peek(token_of(link), purpose) is None
    with pytest.raises(LinkError):
        redeem(token_of(link), purpose)


def test_invitation_link_works_for_a_week(user: User) -> None:
    user.password_hash = None
    link = make(Purpose.RESET, user)
    assert link.expires_at - link.created_at == email_links.INVITATION == timedelta(days=7)


def test_make_voids_older_links_of_the_same_purpose_and_owner_only(user: User) -> None:
    reset, verify, unowned = make(Purpose.RESET, user), make(Purpose.VERIFY, user), make(Purpose.FIRST_ADMIN)
    newer = make(Purpose.RESET, user)
    assert email_links.peek(token_of(reset), Purpose.RESET) is None
    for link in (newer, verify, unowned):
        assert email_links.peek(token_of(link), Purpose(link.purpose)) is not None


def test_make_without_user_voids_older_links_without_user() -> None:
    older, newer = make(Purpose.FIRST_ADMIN), make(Purpose.FIRST_ADMIN)
    assert email_links.peek(token_of(older), Purpose.FIRST_ADMIN) is None
    assert email_links.peek(token_of(newer), Purpose.FIRST_ADMIN) is not None


def test_void_without_purpose_voids_all_links_of_one_account(user: User) -> None:
    mine = [make(purpose, user) for purpose in (Purpose.RESET, Purpose.VERIFY, Purpose.CHANGE_EMAIL)]
    unowned = make(Purpose.FIRST_ADMIN)
    with db.write() as session:
        email_links.void(session, user.id)
    assert [email_links.peek(token_of(link), Purpose(link.purpose)) for link in mine] == [None] * 3
    assert email_links.peek(token_of(unowned), Purpose.FIRST_ADMIN) is not None


def test_token_of_another_link_is_refused(user: User) -> None:
    first, second = make(Purpose.VERIFY, user), make(Purpose.RESET, user)
    mac = token_of(first).partition(".")[2]
    assert email_links.peek(f"{second.id}.{mac}", Purpose.RESET) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "1",
        "1.",
        ".abc",
        "x.y",
        "-1.a",
        "1e3.a",
        "²." + "a" * 43,
        "9" * 18 + ".a",
        "9" * 400 + ".a",
        "1.\udc80é",
    ],
)
def test_token_malformed_is_refused(user: User, token: str) -> None:
    make(Purpose.VERIFY, user)
    assert email_links.peek(token, Purpose.VERIFY) is None


def test_token_cannot_be_made_from_the_database(user: User) -> None:
    link = make(Purpose.RESET, user)
    elsewhere = email_links.link_token(link, (STRONG,))
    assert email_links.peek(elsewhere, Purpose.RESET) is None
    kept = {str(value) for value in vars(link).values()}
    assert not any(token_of(link).partition(".")[2] in value for value in kept)


@pytest.fixture
def rotated(at_work: Flask) -> Iterator[str]:
    """Give the site a new secret, keeping the previous one, which is returned."""
    before: Settings = at_work.config["CHURCH"]
    former = before.secret_key
    changed = {"secret_key": type(former)(STRONG), "secret_key_previous": former}
    at_work.config["CHURCH"] = with_settings(before, **changed)
    yield former.get_secret_value()
    at_work.config["CHURCH"] = before


def test_link_made_with_the_previous_secret_works(user: User, rotated: str) -> None:
    link = make(Purpose.RESET, user)
    old, new = email_links.link_token(link, (rotated,)), token_of(link)
    assert old != new
    assert email_links.peek(old, Purpose.RESET) is not None
    assert email_links.peek(new, Purpose.RESET) is not None


@pytest.mark.parametrize(
    ("purpose", "path"),
    [
        (Purpose.VERIFY, "/auth/verify/"),
        (Purpose.RESET, "/auth/reset/"),
        (Purpose.CHANGE_EMAIL, "/auth/email/"),
        (Purpose.FIRST_ADMIN, "/auth/first-admin/"),
    ],
)
def test_address_is_on_the_site_and_ends_with_the_token(user: User, purpose: Purpose, path: str) -> None:
    link = make(purpose, user)
    assert email_links.link_address(link) == f"{current_settings().origin}{path}{token_of(link)}"
