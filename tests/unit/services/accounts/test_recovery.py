"""Password resets."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from church.errors import FieldErrors
from church.extensions import db
from church.models import Job
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import accounts, email_links, sessions
from church.services.accounts import validation
from church.services.accounts.failed_sign_ins import CredentialsError
from church.services.audit import Actor
from church.services.email_links import LinkError, Purpose
from tests.support.accounts_fixture import (
    DEVICE,
    EMAIL,
    OTHER_PASSWORD,
    PASSWORD,
    StubGate,
    audited,
    change_user,
    do_jobs,
    forgotten_token,
    mailed_token,
    mails,
    member,
    register,
    signed_in,
    the_user,
)
from tests.support.helpers import grows


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def attempts(outcome: str) -> object:
    return definitions.auth_attempts.labels("reset", outcome)


def queued() -> list[dict[str, object]]:
    with db.read() as session:
        return list(session.scalars(select(Job.payload).where(Job.kind == "accounts.forgot").order_by(Job.id)))


def test_forgot_queues_one_job_without_the_address() -> None:
    user = member()
    accounts.request_reset(EMAIL)
    accounts.request_reset("nobody@example.org")
    assert queued() == [{"user_id": user.id}, {"user_id": None}]
    assert mails("reset") == []
    do_jobs("accounts.forgot")
    assert [(mail.recipient, mail.user_id) for mail in mails("reset")] == [(EMAIL, user.id)]


@pytest.mark.parametrize("typed", ["ada", "jörg@example.org"])
def test_forgot_invalid_or_unreachable_address_is_a_field_error(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "can_send_to", lambda _site, address: address.isascii())
    with grows(attempts("failed_validation"), by=0), pytest.raises(FieldErrors) as refused:
        accounts.request_reset(typed)
    assert list(refused.value.errors) == ["email"]
    assert queued() == []


@pytest.mark.parametrize("state", ["disabled", "deleted"])
def test_forgot_account_closed_meanwhile_gets_no_email(state: str) -> None:
    user = member()
    accounts.request_reset(EMAIL)
    gone = {"disabled_at": utc_now()} if state == "disabled" else {"deleted_at": utc_now(), "email": None}
    change_user(user.id, **gone)
    do_jobs("accounts.forgot")
    assert mails("reset") == []


def test_forgot_over_the_limit_keeps_the_owners_link() -> None:
    member()
    token = forgotten_token()
    for _ in range(4):
        token = forgotten_token()
    for _ in range(3):
        forgotten_token()
    assert len(mails("reset")) == 5
    assert email_links.peek(token, Purpose.RESET) is not None


def test_reset_replaces_the_password() -> None:
    member()
    with grows(attempts("success")):
        accounts.reset_password(forgotten_token(), OTHER_PASSWORD, DEVICE)
    assert signed_in(password=OTHER_PASSWORD)
    with pytest.raises(CredentialsError):
        accounts.sign_in_with_password(EMAIL, PASSWORD, DEVICE, StubGate())
    assert len(mails("password_changed")) == 1
    assert "account.password_reset" in audited()


def test_reset_signs_out_every_device() -> None:
    member()
    devices = [signed_in(), signed_in()]
    accounts.reset_password(forgotten_token(), OTHER_PASSWORD, DEVICE)
    assert [sessions.load(device.token) for device in devices] == [None, None]


def test_reset_voids_every_link_and_works_once() -> None:
    member()
    accounts.request_email_change(signed_in(), PASSWORD, "new@example.org", DEVICE)
    change = mailed_token("change_email", "new@example.org")
    token = forgotten_token()
    accounts.reset_password(token, OTHER_PASSWORD, DEVICE)
    with grows(attempts("failed_credentials")), pytest.raises(LinkError):
        accounts.reset_password(token, PASSWORD, DEVICE)
    with pytest.raises(LinkError):
        accounts.confirm_email(change, DEVICE)


def test_reset_verifies_the_address() -> None:
    register()
    verify = mailed_token("verify")
    accounts.reset_password(forgotten_token(), OTHER_PASSWORD, DEVICE)
    assert the_user().verified_at is not None
    with pytest.raises(LinkError):
        accounts.verify_address(verify, Actor())


def test_reset_weak_password_keeps_the_link() -> None:
    member()
    token = forgotten_token()
    with grows(attempts("failed_validation")), pytest.raises(FieldErrors) as refused:
        accounts.reset_password(token, "password1234", DEVICE)
    assert list(refused.value.errors) == ["password"]
    accounts.reset_password(token, OTHER_PASSWORD, DEVICE)


def test_reset_account_disabled_meanwhile_is_refused() -> None:
    user = member()
    token = forgotten_token()
    change_user(user.id, disabled_at=utc_now())
    with pytest.raises(LinkError):
        accounts.reset_password(token, OTHER_PASSWORD, DEVICE)


def test_reset_link_is_void_after_change_of_password() -> None:
    member()
    token = forgotten_token()
    accounts.change_password(signed_in(), PASSWORD, OTHER_PASSWORD, DEVICE)
    with pytest.raises(LinkError):
        accounts.reset_password(token, PASSWORD, DEVICE)


def test_reset_with_verification_link_is_refused() -> None:
    register()
    with pytest.raises(LinkError):
        accounts.reset_password(mailed_token("verify"), OTHER_PASSWORD, DEVICE)
