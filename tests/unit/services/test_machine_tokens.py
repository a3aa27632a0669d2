"""Bearer tokens of machines: hashed at rest, compared in constant time, good until revoked."""

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
    assert machine_tokens.scopes_of(made.token) == {"delivery:write", "dora:read"}
    machine_tokens.revoke(made.ref, CONSOLE)
    assert machine_tokens.scopes_of(made.token) is None
    (listed,) = machine_tokens.listed()
    assert (listed.name, listed.scopes, listed.revoked_at is None) == ("CI", ("delivery:write", "dora:read"), False)
    assert [entry.action for entry in audit.entries()] == ["token.revoked", "token.created"]
    with pytest.raises(ConflictError):
        machine_tokens.revoke(made.ref, CONSOLE)


def test_secret_of_a_token_is_kept_nowhere() -> None:
    made = machine_tokens.create("CI", ["dora:read"], CONSOLE)
    secret = made.token.rpartition(f"{made.ref}_")[2]
    assert len(secret) >= 43  # 256 bits
    with db.read() as session:
        row = session.scalars(select(ApiToken)).one()
        assert secret not in str(vars(row))
    assert secret not in str(audit.entries())


@pytest.mark.parametrize("scopes", [[], ["admin"], ["dora:read", "DORA:READ"]])
def test_token_without_scopes_or_with_others_is_not_made(scopes: list[str]) -> None:
    with pytest.raises(InvalidError):
        machine_tokens.create("CI", scopes, CONSOLE)
    assert machine_tokens.listed() == []


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "x" * 101])
def test_token_whose_name_would_say_nothing_in_the_list_is_not_made(name: str) -> None:
    with pytest.raises(InvalidError):
        machine_tokens.create(name, ["dora:read"], CONSOLE)


def test_token_that_is_nearly_right_opens_nothing() -> None:
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
    assert [machine_tokens.scopes_of(token) for token in wrong] == [None] * len(wrong)


def test_secret_is_compared_in_constant_time_also_where_there_is_no_such_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = machine_tokens.create("CI", ["dora:read"], CONSOLE)
    compared = []

    def compare(a: str, b: str) -> bool:
        compared.append(len(b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(machine_tokens, "hmac", SimpleNamespace(compare_digest=compare))
    machine_tokens.scopes_of(made.token)
    machine_tokens.scopes_of("church_000000000000_wrong")
    assert compared == [64, 64]
