"""Profiles, and the export of all data about a member."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from flask import Flask

from church.errors import UnauthorizedError
from church.extensions import db
from church.models.base import Base
from church.services import accounts, audit
from church.services.audit import Actor
from tests.support.accounts_fixture import (
    DEVICE,
    EMAIL,
    PASSWORD,
    audited,
    change_user,
    member,
    register,
    signed_in,
    the_user,
)

CLOSED_AT = datetime(2026, 5, 3, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def test_profile_has_the_fields_of_the_account() -> None:
    register()
    user = the_user()
    found = accounts.read_profile(user.id)
    assert (found.ref, found.name, found.email, found.role, found.verified) == (user.ref, "Ada", EMAIL, "member", False)
    assert found.created_at == user.created_at
    assert not hasattr(found, "password_hash")


@pytest.mark.parametrize("values", [{"disabled_at": CLOSED_AT}, {"deleted_at": CLOSED_AT, "email": None}])
def test_profile_of_a_disabled_or_deleted_account_is_unauthorized(values: dict[str, object]) -> None:
    user = member()
    change_user(user.id, **values)
    with pytest.raises(UnauthorizedError):
        accounts.read_profile(user.id)


def test_export_has_every_part_as_json_and_is_audited() -> None:
    user = member()
    me = signed_in()
    found = json.loads(json.dumps(accounts.export_account(me, DEVICE)))
    assert found["account"]["email"] == EMAIL
    assert found["account"]["ref"] == user.ref
    assert [device["user_agent"] for device in found["devices"]] == [DEVICE.user_agent]
    assert [mail["template"] for mail in found["mails"]] == ["verify"]
    assert [act["action"] for act in found["activity"]] == [
        "account.signed_in",
        "account.verified",
        "account.registered",
    ]
    assert audited()[-1] == "account.exported"


def test_export_has_no_secret_and_no_data_of_others() -> None:
    user = member()
    bob = member("bob@example.org", name="Bob")
    me, other = signed_in(), signed_in("bob@example.org")
    accounts.request_email_change(me, PASSWORD, "new@example.org", DEVICE)
    with db.write() as session:
        audit.record_by(session, "member.promoted", Actor(bob.id, address="198.51.100.7"), user.id)
    text = json.dumps(accounts.export_account(me, DEVICE))
    assert user.password_hash is not None
    secrets = [
        me.token,
        user.password_hash,
        other.session_ref,
        bob.ref,
        "Bob",
        "bob@",
        "198.51.100.7",
        "new@example.org",
    ]
    assert [secret for secret in secrets if secret in text] == []
    assert "member.promoted" in text
    assert "change_email" not in {mail["template"] for mail in json.loads(text)["mails"]}


# Where the export contains each table with a ``user_id``; an empty path means that it does not, and why.
PARTS = {
    "sign_ins": "devices",
    "mails": "mails",
    "links": "",  # they belong to the inbox that got them, and a new address would reveal whether it has an account
    "customers": "membership.customers",
    "subscriptions": "membership.subscriptions",
    "invoices": "membership.invoices",
    "checkouts": "membership.checkouts",
    "ledger_entries": "membership.payments",
    "grants": "membership.grants",
    "watch_positions": "watching.videos",
    "watch_settings": "watching.remembered",
    "video_uploads": "uploads",
    "chat_messages": "live.messages",
    "chat_reports": "live.reports",
    "chat_sanctions": "live.sanctions",
}


def test_export_covers_every_table_with_member_data() -> None:
    tables = {table.name for table in Base.metadata.tables.values() if "user_id" in table.columns}
    assert tables == set(PARTS)
    member()
    found = accounts.export_account(signed_in(), DEVICE)
    for path in filter(None, PARTS.values()):
        part = found
        for name in path.split("."):
            assert name in part, path
            part = part[name]
