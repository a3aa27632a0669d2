"""Accounts from registration to deletion, on both databases; the unit tests cover the parts on SQLite."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from flask import Flask

from church.database.paging import Place
from church.extensions import db
from church.models import User
from church.services import accounts, audit, email_links, sessions
from church.services.accounts import deletion
from church.services.accounts.failed_sign_ins import CredentialsError
from church.services.audit import Actor
from church.services.email import outbox_folder
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
    do_jobs,
    find_user,
    forgotten_token,
    mailed_token,
    mails,
    member,
    register,
    signed_in,
    the_user,
)

pytestmark = pytest.mark.services

NEW = "ada@new.example.org"


@pytest.fixture(autouse=True)
def _site(on_both: Flask) -> None:
    """A site on each database."""


def test_account_from_registration_to_deletion() -> None:
    ref = register()
    assert not signed_in().verified
    assert accounts.verify_address(mailed_token("verify"), Actor()) == ref
    first, second = signed_in(), signed_in()
    token = accounts.change_password(first, PASSWORD, OTHER_PASSWORD, DEVICE)
    assert sessions.load(second.token) is None
    me = sessions.load(token)
    assert me is not None
    accounts.request_email_change(me, OTHER_PASSWORD, NEW, DEVICE)
    accounts.confirm_email(mailed_token("change_email", NEW), DEVICE)
    accounts.reset_password(forgotten_token(NEW), PASSWORD, DEVICE)
    me = signed_in(NEW)
    accounts.rename(me, "Augusta", DEVICE)
    exported = json.loads(json.dumps(accounts.export_account(me, DEVICE)))
    assert (exported["account"]["name"], exported["account"]["email"]) == ("Augusta", NEW)
    accounts.delete_account(me, PASSWORD, DEVICE)
    assert (find_user(EMAIL), find_user(NEW)) == (None, None)
    assert [mail.template for mail in mails()] == ["account_deleted"]
    assert audit.list_entries(subject_ref=ref) == []
    entries = audit.list_entries(place=Place(size=100))
    assert len({entry.subject.ref for entry in entries if entry.subject}) == 1
    assert [entry.action for entry in entries if entry.subject][::-1] == audited()
    assert audited()[-3:] == ["account.renamed", "account.exported", "account.deleted"]


def test_second_registration_emails_the_owner() -> None:
    refs = {register(), register(EMAIL.upper(), OTHER_PASSWORD)}
    assert len(refs) == 2
    assert the_user().ref in refs
    assert [mail.template for mail in mails()] == ["verify", "already_registered"]


def test_email_limit_of_five_an_hour_survives_account_deletion(on_both: Flask) -> None:
    outbox = outbox_folder.outbox_path(on_both.config["CHURCH"])
    for _ in range(7):
        register()
        accounts.request_email_change(signed_in(), PASSWORD, NEW, DEVICE)
        do_jobs("mails.send")
        accounts.delete_account(signed_in(), PASSWORD, DEVICE)
        do_jobs("mails.send")
    sent = Counter(path.stem.split("-")[1] for path in outbox.glob("*.eml"))
    assert sent == {"verify": 5, "change_email": 5, "account_deleted": 5}


def test_email_over_the_limit_keeps_the_previous_link() -> None:
    member()
    for _ in range(7):
        token = forgotten_token()
    assert len(mails("reset")) == 5
    assert email_links.peek(token, Purpose.RESET) is not None


def test_change_email_address_taken_meanwhile_is_rolled_back() -> None:
    member()
    accounts.request_email_change(signed_in(), PASSWORD, NEW, DEVICE)
    register(NEW)
    with pytest.raises(LinkError):
        accounts.confirm_email(mailed_token("change_email", NEW), DEVICE)
    assert the_user().email == EMAIL


@pytest.mark.parametrize("typed", ["nobody@example.org", "nobody\0@example.org", "\udc80", "x" * 10_000, "'; --"])
def test_sign_in_unstorable_address_is_wrong_password(typed: str) -> None:
    with pytest.raises(CredentialsError):
        accounts.sign_in_with_password(typed, PASSWORD, DEVICE, StubGate())


@pytest.mark.parametrize("token", ["9223372036854775808.x", "999999999999999999.x", "1.\0", "\0.x"])
def test_link_unstorable_token_is_refused(token: str) -> None:
    with pytest.raises(LinkError):
        accounts.verify_address(token, Actor())


def test_first_admin_is_made_by_link_and_the_last_one_stays() -> None:
    token = str(accounts.make_first_admin_link()).rpartition("/")[2]
    accounts.create_first_admin(token, "root@example.org", PASSWORD, "Root", DEVICE)
    assert signed_in("root@example.org").is_admin
    assert accounts.make_first_admin_link() is None
    admin("second@example.org")
    accounts.delete_account(signed_in("root@example.org"), PASSWORD, DEVICE)
    assert accounts.make_first_admin_link() is None


def test_old_unverified_account_is_deleted() -> None:
    register()
    user = the_user()
    member("bob@example.org")
    change_user(user.id, created_at=user.created_at - 2 * deletion.KEEP_UNVERIFIED)
    deletion.delete_unverified({})
    with db.read() as session:
        row = session.get(User, user.id)
    assert row is not None
    assert row.deleted_at is not None
    assert the_user("bob@example.org").deleted_at is None
