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
from church.services.accounts.validation import Address, try_parse_address
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


# -- addresses in several spellings ---------------------------------------------------------------------------------


def find(typed: str) -> str | None:
    """Return the ref of the account that a typed address finds."""
    with db.read() as session:
        user = find_account.find_by_address(session, try_parse_address(typed))
        return user.ref if user is not None else None


def test_find_by_address_sharp_s_and_double_s_are_two_accounts(at_work: Flask) -> None:
    sharp, double = add_user(at_work, "straße@example.org"), add_user(at_work, "strasse@example.org")
    sharp_domain, double_domain = add_user(at_work, "x@straße.example"), add_user(at_work, "x@strasse.example")
    assert [find(typed) for typed in ("straße@example.org", "STRAẞE@example.org")] == [sharp.ref] * 2
    assert [find(typed) for typed in ("strasse@example.org", "STRASSE@Example.org")] == [double.ref] * 2
    assert find("X@STRASSE.example") == double_domain.ref
    assert find("x@xn--strae-oqa.example") == find("x@straße.example") == sharp_domain.ref


def test_find_by_address_sharp_s_alone_does_not_find_double_s(at_work: Flask) -> None:
    add_user(at_work, "strasse@example.org")
    assert find("straße@example.org") is None
    assert create("straße@example.org") is not None


@pytest.mark.parametrize("typed", ["jo\u0308rg@bücher.example", "JÖRG@XN--BCHER-KVA.example", " Jörg@bücher.example "])
def test_find_by_address_any_spelling_finds_the_account(at_work: Flask, typed: str) -> None:
    user = add_user(at_work, "jörg@bücher.example")
    assert find(typed) == user.ref


def create(typed: str) -> User | None:
    address = try_parse_address(typed)
    assert address is not None
    with db.write() as session:
        return find_account.create_account(session, address, name="", source="web")


def test_find_by_address_account_with_an_old_key_is_found_and_not_made_twice(at_work: Flask) -> None:
    old = add_user(at_work, "straße@bücher.example", email_key="strasse@bücher.example")
    assert find("straße@bücher.example") == old.ref
    assert find("strasse@bücher.example") is None
    assert create("Straße@bücher.example") is None


def test_find_by_address_two_accounts_of_one_address_are_found_by_their_own_spelling(at_work: Flask) -> None:
    composed = add_user(at_work, "j\u00f6rg@example.org")
    decomposed = add_user(at_work, "jo\u0308rg@example.org", email_key="jo\u0308rg@example.org")
    assert find("j\u00f6rg@example.org") == find("J\u00d6RG@example.org") == composed.ref
    assert find("jo\u0308rg@example.org") == find("JO\u0308RG@example.org") == decomposed.ref
    by_letters = add_user(at_work, "x@bücher.example", email_key="x@bücher.example")
    by_label = add_user(at_work, "x@xn--bcher-kva.example")
    assert (find("x@Bücher.example"), find("X@xn--bcher-kva.example")) == (by_letters.ref, by_label.ref)


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
