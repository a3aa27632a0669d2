"""Free premium: given until a date with a reason, revoked, audited, and effective at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from church.database.paging import Place
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models import AuditEntry, Grant, User
from church.models.base import utc_now
from church.services import billing, sessions
from church.services.accounts.member_list import UnknownMemberError
from church.services.audit import Actor
from church.services.billing.grants import LONGEST_REASON, UnknownGrantError
from tests.support.people import add_user, sign_in

pytestmark = pytest.mark.services
MONTH = timedelta(days=30)


@pytest.fixture
def ann(on_both: Flask) -> User:
    return add_user(on_both, "ann@church.example", name="Ann", password_hash="x")


@pytest.fixture
def boss(on_both: Flask) -> Actor:
    user = add_user(on_both, "boss@church.example", name="Boss", role="admin", password_hash="x")
    return Actor(user.id, "web", "192.0.2.1")


def audited() -> list[tuple[str, int | None, int | None, dict[str, object]]]:
    with db.read() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    return [(row.action, row.actor_id, row.subject_id, row.detail) for row in rows]


def given() -> list[Grant]:
    with db.read() as session:
        return list(session.scalars(select(Grant).order_by(Grant.id)))


def let_end(number: int) -> None:
    """End a grant in the past."""
    with db.write() as session:
        session.execute(update(Grant).where(Grant.id == number).values(until=utc_now() - timedelta(seconds=1)))


def test_grant_stores_reason_and_giver_and_is_audited(ann: User, boss: Actor) -> None:
    until = utc_now() + MONTH
    number = billing.grant_premium(ann.ref, until, "  helps\n with the pages ", boss)
    (view,) = billing.list_grants(user_ref=ann.ref)
    assert view.given_by is not None
    assert (view.id, view.member.ref, view.given_by.name) == (number, ann.ref, "Boss")
    assert (view.reason, view.state, view.until) == ("helps with the pages", billing.GrantState.OPEN, until)
    detail = {"grant": number, "until": until.date().isoformat()}
    assert audited() == [("grant.given", boss.user_id, ann.id, detail)]


def test_grant_gives_premium_at_once_until_it_ends(on_both: Flask, ann: User, boss: Actor) -> None:
    token = sign_in(on_both, ann)

    def premium() -> bool:
        found = sessions.load(token)
        assert found is not None
        return found.premium

    assert not premium()
    number = billing.grant_premium(ann.ref, utc_now() + MONTH, "a friend", boss)
    assert premium()
    assert billing.revoke_grant(number, boss) == ann.ref
    assert not premium()
    assert audited()[-1] == ("grant.revoked", boss.user_id, ann.id, {"grant": number})


def test_grant_from_the_command_line_has_no_giver(ann: User) -> None:
    billing.grant_premium(ann.ref, utc_now() + MONTH, "a friend", Actor(via="cli"))
    (view,) = billing.list_grants()
    assert view.given_by is None


def test_grant_is_not_given_when_the_audit_fails(ann: User, boss: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr("church.services.audit.record_by", full)
    with pytest.raises(OSError, match="no space"):
        billing.grant_premium(ann.ref, utc_now() + MONTH, "a friend", boss)
    assert given() == []


@pytest.mark.parametrize(
    ("ahead", "reason", "wrong"),
    [
        (timedelta(0), "why", {"until"}),
        (timedelta(days=-1), " ", {"until", "reason"}),
        (timedelta(days=3660), "why", {"until"}),
        (MONTH, " \x00\n", {"reason"}),
        (MONTH, "x" * (LONGEST_REASON + 1), {"reason"}),
    ],
)
def test_grant_invalid_is_refused_field_by_field(
    ann: User, boss: Actor, ahead: timedelta, reason: str, wrong: set[str]
) -> None:
    with pytest.raises(FieldErrors) as caught:
        billing.grant_premium(ann.ref, utc_now() + ahead, reason, boss)
    assert set(caught.value.errors) == wrong
    assert (given(), audited()) == ([], [])


def test_grant_to_an_unknown_or_deleted_account_is_refused(ann: User, boss: Actor) -> None:
    for nobody in ("nobody", "\x00", "' OR 1=1 --"):
        with pytest.raises(UnknownMemberError):
            billing.grant_premium(nobody, utc_now() + MONTH, "why", boss)
    with db.write() as session:
        nothing = {"email": None, "email_key": None, "password_hash": None, "name": ""}
        session.execute(update(User).where(User.id == ann.id).values(deleted_at=utc_now(), **nothing))
    with pytest.raises(ConflictError):
        billing.grant_premium(ann.ref, utc_now() + MONTH, "why", boss)
    assert given() == []


def test_grant_is_revoked_once(ann: User, boss: Actor) -> None:
    number = billing.grant_premium(ann.ref, utc_now() + MONTH, "why", boss)
    billing.revoke_grant(number, boss)
    taken_at = given()[0].revoked_at
    with pytest.raises(ConflictError):
        billing.revoke_grant(number, boss)
    with pytest.raises(UnknownGrantError):
        billing.revoke_grant(number + 1, boss)
    assert given()[0].revoked_at == taken_at
    assert [action for action, *_ in audited()] == ["grant.given", "grant.revoked"]


def test_grant_that_has_ended_cannot_be_revoked(ann: User, boss: Actor) -> None:
    number = billing.grant_premium(ann.ref, utc_now() + MONTH, "why", boss)
    let_end(number)
    with pytest.raises(ConflictError):
        billing.revoke_grant(number, boss)


def test_grants_are_listed_counted_and_paged_by_state(ann: User, boss: Actor) -> None:
    first, second, third, fourth = (
        billing.grant_premium(ann.ref, utc_now() + MONTH, f"gift {n}", boss) for n in ("one", "two", "three", "four")
    )
    let_end(first)
    billing.revoke_grant(second, boss)
    state = billing.GrantState
    assert billing.count_grants() == {state.OPEN: 2, state.ENDED: 1, state.REVOKED: 1}
    found = {word: [one.id for one in billing.list_grants(state=word)] for word in state}
    assert found == {state.OPEN: [fourth, third], state.ENDED: [first], state.REVOKED: [second]}
    assert all(one.state is word for word in state for one in billing.list_grants(state=word))
    assert [one.id for one in billing.list_grants(place=Place(size=3))] == [fourth, third, second]
    assert [one.id for one in billing.list_grants(place=Place(before=second))] == [first]
    assert billing.list_grants(user_ref="nobody") == []


def test_end_of_day_is_the_last_second_in_utc() -> None:
    assert billing.end_of_day(" 2028-02-29 ") == datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2027-02-29", "31.5.2027", "20270531", "2027-5-31T00:00", "tomorrow"])
def test_end_of_day_invalid_date_is_refused(text: str) -> None:
    with pytest.raises(FieldErrors) as caught:
        billing.end_of_day(text)
    assert set(caught.value.errors) == {"until"}
