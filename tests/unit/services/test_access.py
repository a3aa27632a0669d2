"""Who may read a page."""

from __future__ import annotations

import pytest

from church.services.access import ANONYMOUS, Reader, may_read

MEMBER = Reader(member=True)
SUBSCRIBER = Reader(member=True, premium=True)


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


def test_may_read_premium_without_being_signed_in_is_refused() -> None:
    assert not may_read("premium", Reader(premium=True))
