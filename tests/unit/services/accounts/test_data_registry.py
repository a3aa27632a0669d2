"""The registry through which other services add to the export and the deletion of an account."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from church.errors import ConflictError
from church.models import User
from church.services import accounts, sessions
from church.services.accounts import data_registry
from tests.support.accounts_fixture import (
    DEVICE,
    EMAIL,
    PASSWORD,
    audited,
    member,
    signed_in,
    the_user,
)


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def test_part_of_another_service_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_registry, "_exporters", dict(data_registry._exporters))

    @data_registry.register_export("songs")
    def songs(_session: Session, user: User) -> list[str]:
        return [f"a song of {user.name}"]

    member()
    assert accounts.export_account(signed_in(), DEVICE)["songs"] == ["a song of Ada"]
    with pytest.raises(ValueError, match="songs"):
        data_registry.register_export("songs")(songs)


def test_other_services_delete_their_part_in_the_same_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_registry, "_deleters", [])
    seen: list[str | None] = []

    @data_registry.register_deletion
    def forget(session: Session, user: User) -> None:
        seen.append(user.email)
        if len(seen) == 1:
            raise ConflictError("A payment is under way.")

    user = member()
    me = signed_in()
    with pytest.raises(ConflictError):
        accounts.delete_account(me, PASSWORD, DEVICE)
    assert (the_user().id, the_user().email) == (user.id, EMAIL)
    assert "account.deleted" not in audited()
    assert sessions.load(me.token) is not None
    accounts.delete_account(me, PASSWORD, DEVICE)
    assert seen == [EMAIL, EMAIL]
