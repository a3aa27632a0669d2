"""Rows of accounts: whether their owner may sign in."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from church.extensions import db
from church.models import User
from church.models.base import utc_now


def account(**changes: object) -> User:
    facts = {"ref": "0123456789abcdef", "email": "ada@example.org", "name": "Ada", "source": "web"}
    return User(**{**facts, "created_at": utc_now(), **changes})


def test_account_is_active_unless_disabled_or_deleted() -> None:
    assert account().active
    assert account(verified_at=None, role="admin").active
    assert not account(disabled_at=utc_now()).active
    assert not account(deleted_at=utc_now()).active


@pytest.mark.parametrize("changes", [{"role": "owner"}, {"deleted_at": utc_now()}])
def test_account_with_unknown_role_or_deleted_with_address_is_refused(
    at_work: object, changes: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError), db.write() as session:
        session.add(account(**changes))
