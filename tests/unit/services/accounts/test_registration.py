"""Registration, verification of addresses, and the first admin of a new site."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from church.config import current_settings
from church.errors import BusyError, FieldErrors
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import accounts, email_links, sessions
from church.services.accounts import passwords, validation
from church.services.audit import Actor, list_entries
from church.services.email.address_hash import hash_address
from church.services.email_links import LinkError, Purpose
from tests.support.accounts_fixture import (
    DEVICE,
    EMAIL,
    OTHER_PASSWORD,
    PASSWORD,
    StubGate,
    admin,
    audited,
    change_user,
    find_user,
    mailed_token,
    mails,
    member,
    register,
    signed_in,
    the_user,
)
from tests.support.helpers import captured_log, grows


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def attempts(outcome: str) -> object:
    return definitions.auth_attempts.labels("registration", outcome)


def test_register_creates_unverified_member_and_emails_a_link() -> None:
    with grows(attempts("success")), grows(definitions.user_registrations.labels("web")):
        ref = register("Ada@Example.org", name=" Ada ")
    user = the_user()
    assert (user.ref, user.email, user.name, user.role, user.source) == (ref, "Ada@example.org", "Ada", "member", "web")
    assert user.verified_at is None
    [mail] = mails()
    assert (mail.template, mail.recipient, mail.user_id) == ("verify", "Ada@example.org", user.id)
    assert audited() == ["account.registered"]
    assert list_entries()[0].address == DEVICE.address


def test_register_stores_only_a_password_hash() -> None:
    register()
    user = the_user()
    assert user.password_hash is not None
    assert passwords.check_password(PASSWORD, user.password_hash, passwords.Sender(DEVICE))
    assert PASSWORD not in repr(vars(user))


def test_register_sharp_s_and_double_s_are_two_accounts() -> None:
    register("strasse@example.org")
    register("straße@example.org")
    assert [(mail.template, mail.recipient) for mail in mails()] == [
        ("verify", "strasse@example.org"),
        ("verify", "straße@example.org"),
    ]


def test_register_address_that_the_mail_server_cannot_reach_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "can_send_to", lambda _site, email: email.isascii())
    with pytest.raises(FieldErrors) as refused, grows(attempts("failed_validation")):
        register("jörg@example.org")
    assert refused.value.errors == {"email": validation.UNREACHABLE}
    assert mails() == []


def test_register_known_address_changes_nothing_and_emails_its_owner() -> None:
    ref = register()
    before = the_user()
    event = definitions.security_events.labels("duplicate_registration_attempt", "medium")
    with grows(event), grows(attempts("failed_exists")), grows(definitions.user_registrations.labels("web"), 0):
        given = accounts.register("ADA@example.org", OTHER_PASSWORD, "Eve", DEVICE)
    after = the_user()
    assert (after.ref, after.name, after.password_hash) == (ref, "Ada", before.password_hash)
    assert [(mail.template, mail.recipient) for mail in mails()] == [("verify", EMAIL), ("already_registered", EMAIL)]
    assert given != ref
    assert re.fullmatch(r"[0-9a-f]{16}", given)
    assert re.fullmatch(r"[0-9a-f]{16}", ref)


def test_register_known_address_security_event_has_no_address() -> None:
    register()
    with captured_log() as log:
        register()
    [event] = [record for record in log.records if record["event"] == "security.duplicate_registration_attempt"]
    assert event["address_hash"] == hash_address(EMAIL)
    for line in log.lines:
        assert b"example.org" not in line
        assert b"Ada" not in line


def test_register_known_address_does_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(passwords, "hash_password", lambda text, _sender: hashed.append(text) or f"hash {len(hashed)}")
    register()
    register()
    assert hashed == [PASSWORD, PASSWORD]


@pytest.mark.parametrize("registered", [True, False])
def test_register_field_errors_do_not_depend_on_the_account(registered: bool) -> None:
    if registered:
        register()
    with grows(attempts("failed_validation")), pytest.raises(FieldErrors) as refused:
        accounts.register(EMAIL, "password1234", "Ada", DEVICE)
    assert list(refused.value.errors) == ["password"]


def test_register_while_hashing_is_busy_creates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> str:
        raise BusyError

    monkeypatch.setattr(passwords, "hash_password", busy)
    with grows(attempts("failed_error")), pytest.raises(BusyError):
        register()
    assert find_user(EMAIL) is None


def test_register_known_address_sixth_email_in_an_hour_is_not_sent() -> None:
    for _ in range(8):
        register()
    assert len(mails("already_registered")) == 5


def test_register_over_the_email_limit_still_creates_the_account() -> None:
    for _ in range(6):
        ref = register()
        assert the_user().ref == ref
        change_user(the_user().id, email=None, email_key=None, deleted_at=utc_now())
    assert len(mails("verify")) == 5


def test_verify_works_once() -> None:
    ref = register()
    token = mailed_token("verify")
    assert accounts.account_to_verify(token) == ref
    assert accounts.verify_address(token, Actor(address="203.0.113.1")) == ref
    assert the_user().verified_at is not None
    assert audited()[-1] == "account.verified"
    assert accounts.account_to_verify(token) is None
    with pytest.raises(LinkError):
        accounts.verify_address(token, Actor())


def test_verify_is_visible_in_open_sessions_at_once() -> None:
    register()
    token = accounts.sign_in_with_password(EMAIL, PASSWORD, DEVICE, StubGate()).token
    before = sessions.load(token)
    accounts.verify_address(mailed_token("verify"), Actor())
    after = sessions.load(token)
    assert before is not None
    assert after is not None
    assert (before.verified, after.verified) == (False, True)


def test_verify_disabled_account_is_refused() -> None:
    register()
    token = mailed_token("verify")
    change_user(the_user().id, disabled_at=utc_now())
    assert accounts.account_to_verify(token) is None
    with pytest.raises(LinkError):
        accounts.verify_address(token, Actor())


def test_verify_link_to_a_former_address_is_refused() -> None:
    register()
    token = mailed_token("verify")
    change_user(the_user().id, email="new@example.org", email_key="new@example.org")
    with pytest.raises(LinkError):
        accounts.verify_address(token, Actor())


def test_send_verification_voids_the_previous_link() -> None:
    register()
    first = mailed_token("verify")
    accounts.send_verification(the_user().id)
    assert accounts.account_to_verify(first) is None
    assert accounts.account_to_verify(mailed_token("verify")) == the_user().ref


def test_send_verification_over_the_limit_keeps_the_last_link() -> None:
    register()
    for _ in range(7):
        accounts.send_verification(the_user().id)
    assert len(mails("verify")) == 5
    assert accounts.account_to_verify(mailed_token("verify")) == the_user().ref


def test_send_verification_verified_account_gets_none() -> None:
    user = member()
    accounts.send_verification(user.id)
    assert len(mails("verify")) == 1


# -- the first admin ----------------------------------------------------------------------------------------------


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
