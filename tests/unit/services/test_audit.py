"""The audit log."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from church import telemetry
from church.database.paging import Place
from church.extensions import db
from church.models import AuditEntry, User
from church.models.base import utc_now
from church.services import audit
from church.services.audit import Actor, Person
from tests.support.helpers import add_view


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def add_user(ref: str, name: str) -> int:
    with db.write() as session:
        user = User(ref=ref, name=name, source="web", created_at=utc_now())
        session.add(user)
        session.flush()
        return user.id


def record(action: str, actor: Actor, subject_id: int | None = None, **detail: object) -> None:
    with db.write() as session:
        audit.record_by(session, action, actor, subject_id, **detail)


def test_entry_exists_only_if_its_transaction_commits() -> None:
    with pytest.raises(ZeroDivisionError), db.write() as session:  # noqa: PT012 (the block is the transaction)
        audit.record(session, "member.disabled")
        raise ZeroDivisionError
    assert audit.list_entries() == []


def test_entry_has_actor_action_subject_and_ip() -> None:
    admin, member = add_user("a1", "Root"), add_user("m1", "Ada")
    record("member.promoted", Actor(admin, "web", "203.0.113.9"), member, before="member")
    [entry] = audit.list_entries()
    assert (entry.action, entry.via, entry.address) == ("member.promoted", "web", "203.0.113.9")
    assert (entry.actor, entry.subject) == (Person("a1", "Root"), Person("m1", "Ada"))
    assert entry.detail == {"before": "member"}
    assert entry.at.tzinfo is not None


def test_entry_of_the_console_has_no_actor() -> None:
    record("job.retried", Actor(via="cli"))
    [entry] = audit.list_entries()
    assert (entry.via, entry.actor, entry.subject, entry.request_id) == ("cli", None, None, None)


def test_entry_has_the_request_id(at_work: Flask) -> None:
    seen = []

    def act() -> str:
        record("mail.retried", Actor())
        seen.append(telemetry.request_id())
        return "done"

    add_view(at_work, "/act", act)
    at_work.test_client().get("/act")
    assert audit.list_entries()[0].request_id == seen[0] is not None


def test_entries_come_newest_first_in_pages() -> None:
    for number in range(5):
        record("job.retried", Actor(), number=number)
    first = audit.list_entries(place=Place(size=2))
    second = audit.list_entries(place=Place(before=first[-1].id, size=2))
    assert [entry.detail["number"] for entry in first + second] == [4, 3, 2, 1]


def test_entries_of_one_action_or_about_one_account_are_found() -> None:
    ada, bob = add_user("m1", "Ada"), add_user("m2", "Bob")
    record("member.disabled", Actor(), ada)
    record("member.enabled", Actor(), ada)
    record("member.disabled", Actor(bob), bob)
    assert [entry.subject.ref for entry in audit.list_entries(action="member.disabled") if entry.subject] == [
        "m2",
        "m1",
    ]
    assert [entry.action for entry in audit.list_entries(subject_ref="m1")] == ["member.enabled", "member.disabled"]
    assert audit.list_entries(subject_ref="nobody") == []


@pytest.mark.parametrize(("limit", "given"), [(0, 1), (-3, 1), (10**9, 3)])
def test_length_of_a_page_is_bounded(limit: int, given: int) -> None:
    for _ in range(3):
        record("job.retried", Actor())
    assert len(audit.list_entries(place=Place(size=limit))) == given


def test_detail_is_stored_as_given() -> None:
    record("account.password_changed", Actor(), sessions=3, fields=["a", "é"])
    with db.read() as session:
        assert session.scalars(select(AuditEntry.detail)).one() == {"sessions": 3, "fields": ["a", "é"]}
