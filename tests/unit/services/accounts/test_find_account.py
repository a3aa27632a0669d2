"""Rows of accounts: created once for each address, found, locked, and emailed a link."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from church.errors import ConflictError
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose, Role
from church.models.base import utc_now
from church.services import email_links
from church.services.accounts import find_account
from church.services.accounts.validation import Address
from church.services.email_links import LinkError
from tests.support.accounts_fixture import EMAIL, change_user, mailed_token, mails, the_user
from tests.support.people import add_user

ADDRESS = Address("Ada@example.org", EMAIL)


@pytest.fixture
def ada(at_work: Flask) -> User:
    return add_user(at_work, EMAIL, password_hash="x")


def make_link(user: User, purpose: Purpose = Purpose.RESET) -> str:
    with db.write() as session:
        return email_links.link_address(email_links.make(session, purpose, user, EMAIL)).rpartition("/")[2]


def email_reset(user: User) -> bool:
    with db.write() as session:
        return find_account.email_new_link(session, "reset", Purpose.RESET, session.get_one(User, user.id))


def test_create_account_once_for_each_address(at_work: Flask) -> None:
    with db.write() as session:
        made = find_account.create_account(session, ADDRESS, name="Ada", source="cli", role=Role.ADMIN)
        again = find_account.create_account(session, ADDRESS, name="Eve", source="web")
    assert again is None
    assert made is not None
    assert (made.email, made.email_key, made.name, made.role) == ("Ada@example.org", EMAIL, "Ada", "admin")
    assert re.fullmatch("[0-9a-f]{16}", made.ref)
    assert (made.verified_at, made.password_hash, made.password_changed_at) == (None, None, None)


def test_create_account_with_password_and_verified_sets_the_times(at_work: Flask) -> None:
    with db.write() as session:
        made = find_account.create_account(session, ADDRESS, name="", source="web", password_hash="hash", verified=True)
    assert made is not None
    assert made.password_changed_at == made.verified_at == made.created_at


@pytest.mark.parametrize("column", ["disabled_at", "deleted_at"])
def test_lock_account_inactive_or_missing_is_none(ada: User, column: str) -> None:
    with db.write() as session:
        assert find_account.lock_account(session, ada.id) is not None
        assert find_account.lock_account(session, ada.id + 1) is None
        assert find_account.lock_account(session, None) is None
    change_user(ada.id, email=None, **{column: utc_now()})
    with db.write() as session:
        assert find_account.lock_account(session, ada.id) is None


@pytest.mark.parametrize("column", ["password_hash", "disabled_at"])
def test_lock_unchanged_changed_account_is_a_conflict(ada: User, column: str) -> None:
    with db.write() as session:
        assert find_account.lock_unchanged(session, ada).id == ada.id
    change_user(ada.id, **{column: "another" if column == "password_hash" else utc_now()})
    with db.write() as session, pytest.raises(ConflictError, match="just changed elsewhere"):
        find_account.lock_unchanged(session, ada)


def test_redeem_and_lock_uses_the_link_once_for_its_purpose(ada: User) -> None:
    token = make_link(ada)
    with db.write() as session, pytest.raises(LinkError):
        find_account.redeem_and_lock(session, token, Purpose.VERIFY)
    with db.write() as session:
        link, user = find_account.redeem_and_lock(session, token, Purpose.RESET)
    assert (link.user_id, user.id) == (ada.id, ada.id)
    with db.write() as session, pytest.raises(LinkError):
        find_account.redeem_and_lock(session, token, Purpose.RESET)


def test_redeem_and_lock_disabled_account_keeps_the_link(ada: User) -> None:
    token = make_link(ada)
    change_user(ada.id, disabled_at=utc_now())
    with db.write() as session, pytest.raises(LinkError):
        find_account.redeem_and_lock(session, token, Purpose.RESET)
    change_user(ada.id, disabled_at=None)
    with db.write() as session:
        assert find_account.redeem_and_lock(session, token, Purpose.RESET)[1].id == ada.id


def test_email_new_link_over_the_limit_keeps_the_last_link(ada: User) -> None:
    assert [email_reset(ada) for _ in range(6)] == [True] * 5 + [False]
    assert len(mails("reset")) == 5
    assert email_links.peek(mailed_token("reset"), Purpose.RESET) is not None


def test_email_new_link_account_without_address_sends_nothing(ada: User) -> None:
    change_user(ada.id, email=None)
    assert not email_reset(the_user())
    assert mails() == []
