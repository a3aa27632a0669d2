"""Changes of name, password, address and devices by their owner."""

from __future__ import annotations

import pytest
from flask import Flask

from church.errors import ConflictError, FieldErrors
from church.models.base import utc_now
from church.services import accounts, email_links, sessions
from church.services.accounts import passwords, validation
from church.services.accounts.failed_sign_ins import CredentialsError
from church.services.audit import list_entries
from church.services.email_links import LinkError, Purpose
from tests.support.accounts_fixture import (
    DEVICE,
    EMAIL,
    OTHER_PASSWORD,
    PASSWORD,
    StubGate,
    audited,
    change_user,
    find_user,
    forgotten_token,
    mailed_token,
    mails,
    member,
    register,
    signed_in,
    the_user,
)

NEW = "ada@new.example.org"


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def test_rename_is_visible_at_once() -> None:
    member()
    me = signed_in()
    accounts.rename(me, "  Augusta  Ada ", DEVICE)
    found = sessions.load(me.token)
    assert found is not None
    assert found.name == the_user().name == "Augusta Ada"
    assert audited()[-1] == "account.renamed"


def test_rename_to_the_same_name_changes_nothing() -> None:
    member()
    accounts.rename(signed_in(), "Ada", DEVICE)
    assert "account.renamed" not in audited()


def test_change_password_signs_out_others_and_returns_a_new_token() -> None:
    member()
    here, there = signed_in(), signed_in()
    token = accounts.change_password(here, PASSWORD, OTHER_PASSWORD, DEVICE)
    assert sessions.load(here.token) is None
    assert sessions.load(there.token) is None
    found = sessions.load(token)
    assert found is not None
    assert found.user_id == here.user_id
    assert signed_in(password=OTHER_PASSWORD)
    with pytest.raises(CredentialsError):
        accounts.sign_in_with_password(EMAIL, PASSWORD, DEVICE, StubGate())
    assert [mail.recipient for mail in mails("password_changed")] == [EMAIL]
    [entry] = list_entries(action="account.password_changed")
    assert (entry.detail, entry.address) == ({"sessions": 2}, DEVICE.address)


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        (OTHER_PASSWORD, "three owls below the mill", "current"),
        ("", "three owls below the mill", "current"),
        (PASSWORD, "password1234", "password"),
        (PASSWORD, PASSWORD, "password"),
        (PASSWORD, EMAIL, "password"),
    ],
)
def test_change_password_refused_changes_nothing(current: str, new: str, field: str) -> None:
    member()
    here, there = signed_in(), signed_in()
    with pytest.raises(FieldErrors) as refused:
        accounts.change_password(here, current, new, DEVICE)
    assert list(refused.value.errors) == [field]
    assert sessions.load(there.token) is not None
    assert signed_in(password=PASSWORD)


def test_change_password_changed_meanwhile_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    user = member()
    me = signed_in()
    real = passwords.hash_password

    def slow(text: str, sender: passwords.Sender) -> str:
        change_user(user.id, password_hash=real("three owls below the mill", sender))
        return real(text, sender)

    monkeypatch.setattr(passwords, "hash_password", slow)
    with pytest.raises(ConflictError):
        accounts.change_password(me, PASSWORD, OTHER_PASSWORD, DEVICE)
    assert signed_in(password="three owls below the mill")


def test_change_email_takes_effect_with_the_link() -> None:
    member()
    me = signed_in()
    accounts.request_email_change(me, PASSWORD, NEW, DEVICE)
    assert the_user().email == EMAIL
    assert [mail.recipient for mail in mails("email_changing")] == [EMAIL]
    accounts.confirm_email(mailed_token("change_email", NEW), DEVICE)
    assert find_user(EMAIL) is None
    assert the_user(NEW).email == NEW
    found = sessions.load(me.token)
    assert found is not None
    assert found.email == NEW
    assert audited()[-2:] == ["account.email_change_asked", "account.email_changed"]
    assert all("example" not in str(entry.detail) for entry in list_entries())


def test_change_email_voids_links_to_the_old_address() -> None:
    member()
    reset = forgotten_token()
    accounts.request_email_change(signed_in(), PASSWORD, NEW, DEVICE)
    token = mailed_token("change_email", NEW)
    accounts.confirm_email(token, DEVICE)
    assert email_links.peek(reset, Purpose.RESET) is None
    with pytest.raises(LinkError):
        accounts.confirm_email(token, DEVICE)


def test_change_email_corrects_a_typo_and_verifies() -> None:
    register("aad@example.org")
    accounts.request_email_change(signed_in("aad@example.org"), PASSWORD, EMAIL, DEVICE)
    assert mails("email_changing") == []  # the owner of that address has nothing to do with it
    accounts.confirm_email(mailed_token("change_email"), DEVICE)
    assert the_user().verified_at is not None


def test_change_email_to_another_case_of_the_own_address() -> None:
    member()
    accounts.request_email_change(signed_in(), PASSWORD, "Ada@example.org", DEVICE)
    accounts.confirm_email(mailed_token("change_email", "Ada@example.org"), DEVICE)
    assert the_user().email == "Ada@example.org"


@pytest.mark.parametrize(
    ("current", "email", "field"),
    [
        (OTHER_PASSWORD, NEW, "current"),
        (PASSWORD, "ada", "email"),
        (PASSWORD, EMAIL, "email"),
        (PASSWORD, "jörg@example.org", "email"),
    ],
)
def test_change_email_refused_sends_nothing(
    current: str, email: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "can_send_to", lambda _site, address: address.isascii())
    member()
    with pytest.raises(FieldErrors) as refused:
        accounts.request_email_change(signed_in(), current, email, DEVICE)
    assert list(refused.value.errors) == [field]
    assert [mail.template for mail in mails()] == ["verify"]


def test_change_email_to_a_known_address_emails_its_owner() -> None:
    member()
    member(NEW)
    accounts.request_email_change(signed_in(), PASSWORD, NEW, DEVICE)
    assert [mail.recipient for mail in mails("already_registered")] == [NEW]
    assert mails("change_email") == []
    assert len(mails("email_changing")) == 1


def test_confirm_email_address_taken_meanwhile_is_a_link_error() -> None:
    member()
    accounts.request_email_change(signed_in(), PASSWORD, NEW, DEVICE)
    token = mailed_token("change_email", NEW)
    register(NEW)
    with pytest.raises(LinkError) as refused:
        accounts.confirm_email(token, DEVICE)
    assert str(refused.value) == str(LinkError())
    assert the_user().email == EMAIL


def test_end_device_only_by_its_owner() -> None:
    member()
    member("bob@example.org")
    here, there, bobs = signed_in(), signed_in(), signed_in("bob@example.org")
    assert not accounts.end_device(here, bobs.session_ref, DEVICE)
    assert not accounts.end_device(here, "nothing", DEVICE)
    assert audited().count("account.sessions_ended") == 0
    assert accounts.end_device(here, there.session_ref, DEVICE)
    assert sessions.load(there.token) is None
    assert sessions.load(bobs.token) is not None
    assert audited().count("account.sessions_ended") == 1


@pytest.mark.parametrize("this_too", [False, True])
def test_end_devices_keeps_this_one_unless_included(this_too: bool) -> None:
    member()
    here, *others = [signed_in() for _ in range(3)]
    assert accounts.end_devices(here, DEVICE, this_too=this_too) == 2 + this_too
    assert [sessions.load(other.token) for other in others] == [None, None]
    assert (sessions.load(here.token) is None) == this_too


def test_disabled_account_cannot_change_its_profile() -> None:
    user = member()
    me = signed_in()
    change_user(user.id, disabled_at=utc_now())
    with pytest.raises(FieldErrors):
        accounts.change_password(me, PASSWORD, OTHER_PASSWORD, DEVICE)
    accounts.rename(me, "Eve", DEVICE)
    assert the_user().name == "Ada"
