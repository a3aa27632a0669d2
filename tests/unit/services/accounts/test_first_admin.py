"""The first admin of a new site."""

from __future__ import annotations

import pytest
from flask import Flask

from church.config import current_settings
from church.errors import FieldErrors
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import accounts, email_links
from church.services.audit import list_entries
from church.services.email_links import LinkError, Purpose
from tests.support.accounts_fixture import (
    DEVICE,
    EMAIL,
    PASSWORD,
    admin,
    change_user,
    find_user,
    mails,
    member,
    signed_in,
    the_user,
)
from tests.support.helpers import grows


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def fresh_token() -> str:
    address = accounts.make_first_admin_link()
    assert address is not None
    return address.rpartition("/")[2]


def become(token: str, email: str = EMAIL, password: str = PASSWORD) -> None:
    accounts.create_first_admin(token, email, password, "Ada", DEVICE)


def test_first_admin_link_is_made_on_a_new_site() -> None:
    address = accounts.make_first_admin_link()
    assert address is not None
    assert address.startswith(f"{current_settings().origin}/auth/first-admin/")


def test_first_admin_is_verified_and_can_sign_in() -> None:
    made = definitions.user_registrations.labels("first_admin")
    with grows(made), grows(definitions.auth_attempts.labels("registration", "success")):
        become(fresh_token())
    me = signed_in()
    assert me.is_admin
    assert the_user().source == "first_admin"
    assert accounts.make_first_admin_link() is None
    assert mails() == []
    [entry] = list_entries(action="account.registered")
    assert entry.detail == {"role": "admin"}


def test_first_admin_link_is_used_once_and_none_is_made_after() -> None:
    token = fresh_token()
    become(token)
    with pytest.raises(LinkError):
        become(token, "eve@example.org")
    assert accounts.make_first_admin_link() is None
    assert find_user("eve@example.org") is None


def test_first_admin_link_is_refused_once_there_is_an_admin() -> None:
    token = fresh_token()
    admin()
    with grows(definitions.auth_attempts.labels("registration", "failed_credentials")), pytest.raises(LinkError):
        become(token)
    assert find_user(EMAIL) is None


def test_first_admin_link_is_made_again_if_the_admin_is_disabled() -> None:
    change_user(admin().id, disabled_at=utc_now())
    become(fresh_token())
    assert signed_in().is_admin


def test_first_admin_newer_link_voids_the_older() -> None:
    older = fresh_token()
    newer = fresh_token()
    assert email_links.peek(older, Purpose.FIRST_ADMIN) is None
    become(newer)


@pytest.mark.parametrize(("email", "password", "field"), [("ada", PASSWORD, "email"), (EMAIL, "admin", "password")])
def test_first_admin_invalid_fields_keep_the_link(email: str, password: str, field: str) -> None:
    token = fresh_token()
    with pytest.raises(FieldErrors) as refused:
        become(token, email, password)
    assert list(refused.value.errors) == [field]
    become(token)


def test_first_admin_with_a_members_address_is_refused() -> None:
    user = member()
    token = fresh_token()
    with pytest.raises(FieldErrors) as refused:
        become(token, password="seven herons on the weir")
    assert list(refused.value.errors) == ["email"]
    assert the_user().role == "member"
    assert the_user().password_hash == user.password_hash
    become(token, "root@example.org")


def test_first_admin_with_link_of_another_purpose_is_refused() -> None:
    with pytest.raises(LinkError):
        become("1.nothing")
