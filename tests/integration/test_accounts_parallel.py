"""Parallel changes of one account, on both databases."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from church.database.engines import is_sqlite
from church.errors import ChurchError, ConflictError
from church.extensions import db
from church.lib.email_addresses import make_key
from church.models import Link, User
from church.observability.metrics import definitions
from church.services import accounts, email_links, sessions
from church.services.audit import Actor
from church.services.email_links import LinkError, Purpose
from tests.support.accounts_fixture import (
    DEVICE,
    EMAIL,
    OTHER_PASSWORD,
    PASSWORD,
    admin,
    audited,
    find_user,
    forgotten_token,
    mailed_token,
    mails,
    member,
    register,
    signed_in,
    the_user,
)
from tests.support.helpers import grows

pytestmark = pytest.mark.services

Act = Callable[[], Any]


@pytest.fixture(autouse=True)
def _site(patient_database: None, on_both: Flask) -> None:
    """A site on each database."""


def at_once(app: Flask, acts: Sequence[Act]) -> list[Any]:
    """Run all calls at once, each in its own thread and app context; returns their results or errors."""
    start = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def run(number: int, act: Act) -> None:
        with app.app_context():
            start.wait(120)
            try:
                results[number] = act()
            except Exception as error:  # noqa: BLE001 - the test checks it
                results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive()
    return results


def kinds(results: Sequence[Any]) -> Counter[str]:
    """Count the successes, and the refusals by error."""
    return Counter(type(result).__name__ if isinstance(result, Exception) else "done" for result in results)


def count_of(email: str) -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).where(User.email_key == make_key(email))) or 0


def test_register_fifty_at_once_makes_one_account(on_both: Flask) -> None:
    made = definitions.user_registrations.labels("web")
    tried = definitions.auth_attempts
    spellings = [EMAIL, EMAIL.title(), EMAIL.upper(), f" {EMAIL}", "ADA@example.org"]
    with grows(made, 1), grows(tried.labels("registration", "success"), 1):
        results = at_once(on_both, [lambda n=n: register(spellings[n % 5], f"{PASSWORD} {n}") for n in range(50)])
    refused = [result for result in results if not isinstance(result, str)]
    # Only the database may refuse here, so the limits are off.
    assert all(isinstance(error, ChurchError) and error.status == 503 for error in refused), refused
    assert count_of(EMAIL) == 1
    assert results.count(the_user().ref) == 1
    assert len(set(results)) == len(results)
    assert len(mails("verify")) == 1
    assert len(mails("already_registered")) == min(5, len(results) - len(refused) - 1)
    assert audited() == ["account.registered"]


def test_link_seen_unused_by_two_is_used_by_one(on_both: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    token = str(accounts.make_first_admin_link()).rpartition("/")[2]
    # On SQLite, writers run one by one, so the second never sees the link unused.
    both_saw_it = threading.Barrier(1 if is_sqlite(on_both.config["CHURCH"]) else 2)
    find = email_links.find

    def find_and_wait(*args: Any) -> Link | None:
        link = find(*args)
        both_saw_it.wait(120)
        return link

    def redeem() -> None:
        with db.write() as session:
            email_links.redeem(session, token, Purpose.FIRST_ADMIN)

    monkeypatch.setattr(email_links, "find", find_and_wait)
    assert kinds(at_once(on_both, [redeem] * 2)) == {"done": 1, "LinkError": 1}


def test_verify_one_link_at_once_succeeds_once(on_both: Flask) -> None:
    register()
    token = mailed_token("verify")
    results = at_once(on_both, [lambda: accounts.verify_address(token, Actor())] * 8)
    assert kinds(results) == {"done": 1, "LinkError": 7}
    assert audited().count("account.verified") == 1


def test_reset_one_link_at_once_succeeds_once(on_both: Flask) -> None:
    member()
    token = forgotten_token()
    passwords = [f"{OTHER_PASSWORD} {n}" for n in range(6)]
    results = at_once(on_both, [lambda p=p: accounts.reset_password(token, p, DEVICE) for p in passwords])
    assert kinds(results) == {"done": 1, "LinkError": 5}
    winner = next(p for p, result in zip(passwords, results, strict=True) if result == EMAIL)
    assert signed_in(password=winner)


def test_first_admin_one_link_at_once_makes_one_admin(on_both: Flask) -> None:
    token = str(accounts.make_first_admin_link()).rpartition("/")[2]
    acts = [
        lambda n=n: accounts.create_first_admin(token, f"root{n}@example.org", PASSWORD, "", DEVICE) for n in range(6)
    ]
    assert kinds(at_once(on_both, acts)) == {"done": 1, "LinkError": 5}
    assert audited() == ["account.registered"]


def test_first_admin_two_links_at_once_make_one_admin(on_both: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(email_links, "void", lambda *_args: None)  # as if two hosts made theirs at the same moment
        tokens = [str(accounts.make_first_admin_link()).rpartition("/")[2] for _ in range(2)]
    acts = [
        lambda n=n, t=t: accounts.create_first_admin(t, f"root{n}@example.org", PASSWORD, "", DEVICE)
        for n, t in enumerate(tokens)
    ]
    assert kinds(at_once(on_both, acts)) == {"done": 1, "LinkError": 1}
    assert count_admins() == 1


def count_admins() -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).where(User.role == "admin", User.deleted_at.is_(None))) or 0


def test_delete_two_last_admins_at_once_leaves_one(on_both: Flask) -> None:
    emails = ["root@example.org", "second@example.org"]
    for email in emails:
        admin(email)
    signed = [signed_in(email) for email in emails]
    results = at_once(on_both, [lambda s=s: accounts.delete_account(s, PASSWORD, DEVICE) for s in signed])
    assert kinds(results) == {"done": 1, ConflictError.__name__: 1}
    assert count_admins() == 1


def test_change_email_two_members_at_once_one_gets_the_address(on_both: Flask) -> None:
    wanted = "wanted@example.org"
    tokens = []
    for email in ("ada@example.org", "bob@example.org"):
        member(email)
        accounts.request_email_change(signed_in(email), PASSWORD, wanted, DEVICE)
        tokens.append(mailed_token("change_email", wanted))
    results = at_once(on_both, [lambda t=t: accounts.confirm_email(t, DEVICE) for t in tokens])
    assert kinds(results) == {"done": 1, LinkError.__name__: 1}
    assert count_of(wanted) == 1
    assert [find_user(email) for email in ("ada@example.org", "bob@example.org")].count(None) == 1


def test_change_password_many_devices_at_once_one_succeeds(on_both: Flask) -> None:
    member()
    devices = [signed_in() for _ in range(4)]
    new_passwords = [f"{OTHER_PASSWORD} {n}" for n in range(4)]
    acts = [
        lambda d=d, w=w: accounts.change_password(d, PASSWORD, w, DEVICE)
        for d, w in zip(devices, new_passwords, strict=True)
    ]
    results = at_once(on_both, acts)
    done = [n for n, result in enumerate(results) if isinstance(result, str)]
    assert len(done) == 1
    assert kinds(results)["ConflictError"] + kinds(results)["FieldErrors"] == 3
    assert sessions.load(results[done[0]]) is not None
    assert sessions.count_active() == 1
    assert signed_in(password=new_passwords[done[0]])


def test_reset_and_change_password_at_once_leave_one_password_and_no_link(on_both: Flask) -> None:
    member()
    me, token = signed_in(), forgotten_token()
    acts: list[Act] = [
        lambda: accounts.reset_password(token, f"{OTHER_PASSWORD} 1", DEVICE),
        lambda: accounts.change_password(me, PASSWORD, f"{OTHER_PASSWORD} 2", DEVICE),
    ]
    results = at_once(on_both, acts)
    assert kinds(results)["done"] == 1, results
    refused = next(result for result in results if isinstance(result, Exception))
    assert refused.status < 500
    assert email_links.peek(token, Purpose.RESET) is None
