"""API tokens of machines: stored as hashes, compared in constant time, valid until revoked."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from flask import Flask
from sqlalchemy import select

from church.errors import ConflictError, InvalidError
from church.extensions import db
from church.models import ApiToken
from church.services import audit, machine_tokens
from church.services.audit import Actor

CONSOLE = Actor(via="cli")


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        db.dispose()


def test_token_has_its_scopes_until_it_is_revoked() -> None:
    made = machine_tokens.create("CI", ["delivery:write", "dora:read", "delivery:write"], CONSOLE)
    assert machine_tokens.find_scopes(made.token) == {"delivery:write", "dora:read"}
    machine_tokens.revoke(made.ref, CONSOLE)
    assert machine_tokens.find_scopes(made.token) is None
    (listed,) = machine_tokens.list_tokens()
    assert (listed.name, listed.scopes, listed.revoked_at is None) == ("CI", ("delivery:write", "dora:read"), False)
    assert [entry.action for entry in audit.list_entries()] == ["token.revoked", "token.created"]
    with pytest.raises(ConflictError):
        machine_tokens.revoke(made.ref, CONSOLE)


def test_secret_is_not_stored() -> None:
    made = machine_tokens.create("CI", ["dora:read"], CONSOLE)
    secret = made.token.rpartition(f"{made.ref}_")[2]
    assert len(secret) >= 43  # 256 bits
    with db.read() as session:
        row = session.scalars(select(ApiToken)).one()
        assert secret not in str(vars(row))
    assert secret not in str(audit.list_entries())


@pytest.mark.parametrize(
    ("scopes", "reason"),
    [
        ([], "Choose one or more of the scopes metrics:read, "),
        (["admin"], "There is no scope admin. The scopes are metrics:read, "),
        (["dora:read", "DORA:READ"], "There is no scope DORA:READ. "),
    ],
)
def test_create_without_scopes_or_with_unknown_ones_is_refused(scopes: list[str], reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        machine_tokens.create("CI", scopes, CONSOLE)
    assert machine_tokens.list_tokens() == []


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "x" * 101])
def test_create_with_unreadable_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        machine_tokens.create(name, ["dora:read"], CONSOLE)


def test_token_almost_right_has_no_scopes() -> None:
    made = machine_tokens.create("CI", ["dora:read"], CONSOLE)
    other = machine_tokens.create("other", ["dora:read"], CONSOLE)
    secret = made.token.rpartition(f"{made.ref}_")[2]
    wrong = (
        made.token[:-1],
        made.token + "x",
        made.token.upper(),
        f"church_{other.ref}_{secret}",
        f"church_{made.ref}_",
        f"church__{secret}",
        secret,
        "church_",
        "church_" + "ü" * 20,
        "church_" + "a" * 10_000,
    )
    assert [machine_tokens.find_scopes(token) for token in wrong] == [None] * len(wrong)


def test_secret_is_compared_in_constant_time_for_unknown_tokens_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = machine_tokens.create("CI", ["dora:read"], CONSOLE)
    compared = []

    def compare(a: str, b: str) -> bool:
        compared.append(len(b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(machine_tokens, "hmac", SimpleNamespace(compare_digest=compare))
    machine_tokens.find_scopes(made.token)
    machine_tokens.find_scopes("church_000000000000_wrong")
    assert compared == [64, 64]
