"""States of accounts, and their list: search, filters and pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from church.extensions import db
from church.models.accounts import Role, User
from church.services.accounts import member_list
from church.services.accounts.member_list import (
    MemberFilters,
    MemberPage,
    MemberPlace,
    MemberState,
    UnknownMemberError,
)
from tests.support.accounts_fixture import change_user
from tests.support.billing_rows import add_customer, add_subscription
from tests.support.people import add_user

SOME_DAY = datetime(2026, 5, 3, 12, tzinfo=UTC)
STATES: dict[MemberState, dict[str, Any]] = {
    MemberState.ACTIVE: {},
    MemberState.UNVERIFIED: {"verified_at": None},
    MemberState.DISABLED: {"verified_at": None, "disabled_at": SOME_DAY},
    MemberState.DELETED: {
        "disabled_at": SOME_DAY,
        "deleted_at": SOME_DAY,
        "email": None,
        "email_key": None,
        "name": "",
    },
}


def made(app: Flask, address: str, **changes: Any) -> User:
    """An account with these columns; its hash matches no password, because real hashes are slow."""
    user = add_user(app, address, password_hash="x")
    if changes:
        change_user(user.id, **changes)
    with db.read() as session:
        return session.get_one(User, user.id)


def found(
    query: str = "",
    role: Role | None = None,
    state: MemberState | None = None,
    place: MemberPlace = member_list.NEWEST,
    **filters: Any,
) -> MemberPage:
    with db.read() as session:
        return member_list.find_members(session, MemberFilters(query, role, state, **filters), place)


def names(query: str) -> list[str]:
    return [view.name for view in found(query).members]


@pytest.mark.parametrize("state", list(MemberState))
def test_state_is_the_same_for_a_row_and_in_sql(at_work: Flask, state: MemberState) -> None:
    users = {one: made(at_work, f"{one}@church.example", **changes) for one, changes in STATES.items()}
    assert member_list.state_of(users[state]) is state
    with db.read() as session:
        matching = session.scalars(select(User.id).where(member_list.state_condition(state))).all()
    assert matching == [users[state].id]
    assert [view.ref for view in found(state=state).members] == [users[state].ref]


def test_find_members_without_a_state_leaves_out_deleted_accounts(at_work: Flask) -> None:
    for state, changes in STATES.items():
        made(at_work, f"{state}@church.example", role="admin" if state is MemberState.DISABLED else "member", **changes)
    assert {view.state for view in found().members} == set(MemberState) - {MemberState.DELETED}
    assert [view.state for view in found(role=Role.ADMIN).members] == [MemberState.DISABLED]


def test_find_members_matches_name_address_and_start_of_the_ref(at_work: Flask) -> None:
    ada = made(at_work, "ada@church.example", name="Ada Lovelace")
    made(at_work, "100%_sure@church.example", name="Özil")
    assert names("LOVE") == names(" ADA@church ") == names(ada.ref[:9].upper()) == ["Ada Lovelace"]
    assert names("özil") == names("%_") == ["Özil"]
    made(at_work, "jörg@bücher.example", name="Jörg")
    for query in (
        "BÜCHER",
        "bu\u0308cher",
        "xn--bcher",
        "jörg@bücher.example",
        "JÖRG@Bücher",
        "JO\u0308RG@",
        "r.example",
    ):
        assert "Jörg" in names(query)
    assert names("a_a") == names(ada.ref[1:]) == []


def test_pages_are_named_by_refs_and_walked_both_ways(at_work: Flask) -> None:
    refs = [made(at_work, f"{day}@church.example", created_at=SOME_DAY + timedelta(days=day)).ref for day in range(5)]
    first = found(place=MemberPlace(size=2))
    second = found(place=MemberPlace(before=first.older, size=2))
    third = found(place=MemberPlace(before=second.older, size=2))
    walked = [[view.ref for view in page.members] for page in (first, second, third)]
    assert walked == [[refs[4], refs[3]], [refs[2], refs[1]], [refs[0]]]
    assert (first.newer, third.older) == (None, None)
    assert found(place=MemberPlace(after=third.newer, size=2)) == second
    assert found(place=MemberPlace(after=second.newer, size=2)) == first
    assert [view.ref for view in found(place=MemberPlace(day=(SOME_DAY + timedelta(days=1)).date())).members] == [
        refs[1],
        refs[0],
    ]
    assert found(place=MemberPlace(before="no such ref", size=2)) == first


def test_subscribers_are_the_members_with_a_current_subscription(at_work: Flask) -> None:
    ada, bob, _eve = (made(at_work, f"{name}@church.example", name=name) for name in ("ada", "bob", "eve"))
    add_subscription(add_customer(ada.id), status="past_due")
    add_subscription(add_customer(ada.id))
    add_subscription(add_customer(bob.id), status="canceled")
    assert [view.name for view in found(subscriber=True).members] == ["ada"]
    assert [view.name for view in found("church", subscriber=True).members] == ["ada"]
    assert found("bob", subscriber=True).members == []


@pytest.mark.parametrize(
    ("changes", "label"),
    [({}, "Ada"), ({"name": ""}, "ada@church.example"), (STATES[MemberState.DELETED], "account 0123456789abcdef")],
)
def test_member_label_is_name_or_address_or_ref(at_work: Flask, changes: dict[str, Any], label: str) -> None:
    user = made(at_work, "ada@church.example", ref="0123456789abcdef", **changes)
    assert member_list.view_of(user).label == label


def test_unknown_member_error_repeats_only_the_start_of_a_long_ref() -> None:
    assert str(UnknownMemberError("x" * 500)) == f"There is no account {'x' * 32}."
