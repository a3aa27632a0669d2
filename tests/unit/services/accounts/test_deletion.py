"""Delete accounts, by their owners and after a month without verification."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from church import telemetry
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models import AuditEntry, Link, Mail, SignIn, User
from church.models.base import utc_now
from church.services import accounts, audit, sessions
from church.services.accounts import deletion
from church.services.accounts.failed_sign_ins import CredentialsError
from church.services.audit import Actor, list_entries
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
    forgotten_token,
    mails,
    member,
    register,
    signed_in,
    the_user,
)


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def row(user_id: int) -> User:
    with db.read() as session:
        found = session.get(User, user_id)
    assert found is not None
    return found


def left_of(user_id: int) -> list[int]:
    with db.read() as session:
        return [
            session.scalar(select(func.count()).select_from(table).where(table.user_id == user_id)) or 0
            for table in (SignIn, Link, Mail)
        ]


def test_deleted_account_is_an_empty_row() -> None:
    user = member()
    me, other = signed_in(), signed_in()
    forgotten_token()
    accounts.delete_account(me, PASSWORD, DEVICE)
    gone = row(user.id)
    assert (gone.email, gone.email_key, gone.password_hash, gone.name) == (None, None, None, "")
    assert gone.deleted_at is not None
    assert left_of(user.id) == [0, 0, 0]
    assert [sessions.load(device.token) for device in (me, other)] == [None, None]
    with pytest.raises(CredentialsError):
        accounts.sign_in_with_password(EMAIL, PASSWORD, DEVICE, StubGate())


def test_delete_sends_a_confirmation_and_stays_in_the_audit_log() -> None:
    user = member()
    accounts.delete_account(signed_in(), PASSWORD, DEVICE)
    assert [(mail.template, mail.recipient, mail.user_id) for mail in mails()] == [("account_deleted", EMAIL, None)]
    [entry] = list_entries(action="account.deleted")
    assert entry.subject is not None
    assert (entry.subject.ref, entry.subject.name) == (row(user.id).ref, "")


def test_delete_drops_what_ties_the_account_to_its_records() -> None:
    user, boss = member(), admin()
    with db.write() as session:
        audit.record_by(session, "member.promoted", Actor(boss.id), user.id)
        audit.record_by(session, "account.renamed", Actor(boss.id), boss.id)
        session.execute(update(AuditEntry).values(request_id="a request"))
    accounts.delete_account(signed_in(), PASSWORD, DEVICE)
    gone = row(user.id)
    assert gone.ref != user.ref
    assert len(gone.ref) == len(user.ref)
    assert list_entries(subject_ref=user.ref) == []
    assert {entry.request_id for entry in list_entries(subject_ref=gone.ref)} == {None}
    [other] = list_entries(action="account.renamed")
    assert other.request_id == "a request"


def test_request_that_deletes_an_account_is_not_tied_to_it() -> None:
    member()
    observation = telemetry.begin_request({"REQUEST_METHOD": "POST"})
    me = signed_in()
    assert observation.user_ref == me.ref
    accounts.delete_account(me, PASSWORD, DEVICE)
    observation.leave()
    observation.finish()
    assert observation.user_ref is None


def test_delete_removes_ip_addresses_of_the_member() -> None:
    user, boss = member(), admin()
    me = signed_in()
    assert [entry.address for entry in list_entries(subject_ref=user.ref)].count(DEVICE.address) >= 2
    with db.write() as session:
        audit.record_by(session, "member.promoted", Actor(boss.id, address="198.51.100.9"), user.id)
        audit.record_by(session, "member.demoted", Actor(user.id, address=DEVICE.address), boss.id)
    accounts.delete_account(me, PASSWORD, DEVICE)
    entries = list_entries(subject_ref=row(user.id).ref)
    kept = {entry.action: entry.address for entry in entries if entry.address}
    assert kept == {"member.promoted": "198.51.100.9"}
    assert [entry.address for entry in list_entries(action="member.demoted")] == [DEVICE.address]


def test_address_of_a_deleted_account_is_free_again() -> None:
    member()
    accounts.delete_account(signed_in(), PASSWORD, DEVICE)
    ref = register()
    assert the_user().ref == ref


def test_wrong_password_deletes_nothing() -> None:
    member()
    with pytest.raises(FieldErrors) as refused:
        accounts.delete_account(signed_in(), OTHER_PASSWORD, DEVICE)
    assert list(refused.value.errors) == ["password"]
    assert the_user().deleted_at is None


def test_delete_last_admin_is_refused() -> None:
    root = admin()
    change_user(member("idle@example.org").id, role="admin", disabled_at=utc_now())
    change_user(member("new@example.org").id, role="admin", verified_at=None)
    with pytest.raises(ConflictError):
        accounts.delete_account(signed_in("root@example.org"), PASSWORD, DEVICE)
    assert row(root.id).deleted_at is None
    admin("second@example.org")
    accounts.delete_account(signed_in("root@example.org"), PASSWORD, DEVICE)
    assert row(root.id).role == "member"


def test_unverified_account_is_deleted_after_a_month() -> None:
    old = utc_now() - deletion.KEEP_UNVERIFIED - timedelta(minutes=1)
    kept = {"young@example.org": {"created_at": old + timedelta(minutes=5)}}
    kept["verified@example.org"] = {"created_at": old, "verified_at": utc_now()}
    kept["invited@example.org"] = {"created_at": old, "source": "cli"}
    kept["disabled@example.org"] = {"created_at": old, "disabled_at": utc_now()}
    kept["here@example.org"] = {"created_at": old}
    for email, values in {**kept, EMAIL: {"created_at": old}}.items():
        register(email)
        change_user(the_user(email).id, **values)
    signed_in("here@example.org")
    forgotten = the_user().id
    deletion.delete_unverified({})
    assert find_user(EMAIL) is None
    assert row(forgotten).deleted_at is not None
    assert left_of(forgotten) == [0, 0, 0]
    assert [find_user(email) is not None for email in kept] == [True] * len(kept)
    [entry] = list_entries(action="account.deleted")
    assert (entry.via, entry.actor, entry.detail) == ("site", None, {"reason": "never verified"})


def test_unverified_accounts_are_deleted_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "_BATCH", 2)
    monkeypatch.setattr(deletion, "KEEP_UNVERIFIED", timedelta(0))
    for number in range(5):
        register(f"a{number}@example.org")
    done: list[int] = []
    monkeypatch.setattr(time, "sleep", lambda _seconds: done.append(audited().count("account.deleted")))
    deletion.delete_unverified({})
    assert done == [2, 4, 5]  # other writers get in after each batch
