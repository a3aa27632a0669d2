"""The rule of premium."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from flask import Flask

from church.extensions import db
from church.models import Customer, Grant, Subscription, User
from church.services.entitlements import GrantFacts, SubscriptionFacts, grace_end, has_premium, member_has_premium

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)
STATUSES = {
    "trialing": True,
    "active": True,
    "past_due": False,
    "canceled": False,
    "unpaid": False,
    "incomplete": False,
    "incomplete_expired": False,
    "paused": False,
    "": False,
    "a status of tomorrow": False,
}
_numbers = count(1)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


@pytest.mark.parametrize(("status", "opens"), STATUSES.items())
def test_premium_with_a_subscription_follows_its_status(status: str, opens: bool) -> None:
    assert has_premium([SubscriptionFacts(status)], [], NOW, grace_days=7) is opens
    since = SubscriptionFacts(status, past_due_since=ago(days=1))
    assert has_premium([since], [], NOW, grace_days=7) is (opens or status == "past_due")


@pytest.mark.parametrize(
    ("days", "grace", "opens"),
    [(0, 7, True), (6.999, 7, True), (7, 7, False), (7.001, 7, False), (30, 7, False), (0, 0, False), (8, 9, True)],
)
def test_premium_past_due_lasts_for_the_days_of_grace(days: float, grace: int, opens: bool) -> None:
    late = SubscriptionFacts("past_due", ago(days=days))
    assert has_premium([late], [], NOW, grace) is opens
    assert grace_end(late, grace) == late.past_due_since + timedelta(days=grace)  # type: ignore[operator]


def test_grace_end_without_past_due_is_none() -> None:
    assert grace_end(SubscriptionFacts("active", ago(days=1)), 7) is None
    assert grace_end(SubscriptionFacts("past_due"), 7) is None


@pytest.mark.parametrize(
    ("grant", "opens"),
    [
        (GrantFacts(NOW + timedelta(seconds=1)), True),
        (GrantFacts(NOW), False),
        (GrantFacts(ago(seconds=1)), False),
        (GrantFacts(NOW + timedelta(days=9), revoked_at=ago(days=1)), False),
    ],
)
def test_premium_by_a_grant_lasts_until_its_date(grant: GrantFacts, opens: bool) -> None:
    assert has_premium([], [grant], NOW, grace_days=7) is opens
    assert has_premium([SubscriptionFacts("canceled")], [grant], NOW, grace_days=7) is opens


def test_premium_without_subscription_or_grant_is_false() -> None:
    assert not has_premium([], [], NOW, grace_days=7)


def test_premium_with_two_subscriptions_needs_one_active() -> None:
    assert has_premium(
        [SubscriptionFacts("canceled"), SubscriptionFacts("active"), SubscriptionFacts("unpaid")], [], NOW, grace_days=7
    )


def _member() -> int:
    number = next(_numbers)
    with db.write() as session:
        user = User(ref=f"u{number}", name="", source="web", created_at=NOW)
        session.add(user)
        session.flush()
        session.add(Customer(stripe_id=f"cus_{number}", user_id=user.id, created_at=NOW))
        return user.id


def _subscribe(user_id: int, status: str, past_due_since: datetime | None = None) -> None:
    with db.write() as session:
        customer = session.query(Customer).filter_by(user_id=user_id).one()
        session.add(
            Subscription(
                stripe_id=f"sub_{next(_numbers)}",
                customer_id=customer.id,
                user_id=user_id,
                status=status,
                plan="p",
                quantity=1,
                currency="usd",
                interval_count=1,
                started_at=NOW,
                created_at=NOW,
                fetched_at=NOW,
                past_due_since=past_due_since,
            )
        )


def _grant(user_id: int, until: datetime, revoked_at: datetime | None = None) -> None:
    with db.write() as session:
        session.add(Grant(user_id=user_id, reason="", created_at=NOW, until=until, revoked_at=revoked_at))


def _premium(user_id: int) -> bool:
    with db.read() as session:
        return member_has_premium(session, user_id, NOW)


@pytest.mark.parametrize("status", [status for status in STATUSES if status])
def test_premium_of_matches_has_premium(app: Flask, status: str) -> None:
    with app.app_context():
        user_id, since = _member(), ago(days=2) if status == "past_due" else None
        _subscribe(user_id, status, since)
        assert _premium(user_id) is has_premium([SubscriptionFacts(status, since)], [], NOW, grace_days=7)


def test_premium_of_uses_only_the_members_rows(app: Flask) -> None:
    with app.app_context():
        one, other = _member(), _member()
        _subscribe(one, "canceled")
        _subscribe(other, "active")
        _grant(other, NOW + timedelta(days=1))
        assert not _premium(one)
        assert _premium(other)


def test_premium_of_grant_ends_at_its_date(app: Flask) -> None:
    with app.app_context():
        given, over, taken = _member(), _member(), _member()
        _subscribe(given, "canceled")
        _grant(given, NOW + timedelta(days=1))
        _grant(over, ago(days=1))
        _grant(taken, NOW + timedelta(days=1), revoked_at=ago(hours=1))
        assert [_premium(user) for user in (given, over, taken)] == [True, False, False]
