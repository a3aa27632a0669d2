"""Who may read a page."""

from __future__ import annotations

import pytest

from church.services.access import ANONYMOUS, Reader, may_read, may_read_drafts, outcome_for

MEMBER = Reader(member=True)
SUBSCRIBER = Reader(member=True, premium=True)
ADMIN = Reader(member=True, admin=True)


@pytest.mark.parametrize(
    ("level", "stranger", "member", "subscriber"),
    [
        ("public", True, True, True),
        ("members", False, True, True),
        ("premium", False, False, True),
        ("Public", False, False, False),
        ("", False, False, False),
        ("gold", False, False, False),
    ],
)
def test_may_read_by_level_and_reader(level: str, stranger: bool, member: bool, subscriber: bool) -> None:
    assert [may_read(level, who) for who in (ANONYMOUS, MEMBER, SUBSCRIBER)] == [stranger, member, subscriber]


@pytest.mark.parametrize("level", ["public", "members", "premium", "gold"])
def test_admin_may_read_every_level_without_a_subscription(level: str) -> None:
    assert may_read(level, ADMIN)


def test_drafts_are_for_admins_whose_reading_is_counted_apart() -> None:
    assert [may_read_drafts(who) for who in (ANONYMOUS, SUBSCRIBER, ADMIN)] == [False, False, True]
    assert [outcome_for(who) for who in (ANONYMOUS, SUBSCRIBER, ADMIN)] == ["granted", "granted", "admin"]


def test_may_read_premium_without_being_signed_in_is_refused() -> None:
    assert not may_read("premium", Reader(premium=True))
