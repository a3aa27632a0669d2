"""What a page of a signed-in visitor asks of the database: how many statements, in how many transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, event

from church.extensions import db
from church.models import ChatRoom, SignIn
from church.services import sessions
from church.services.sessions import cache
from church.services.videos import newest
from church.web import maintenance
from tests.support.membership_fixture import Membership
from tests.support.pages_fixture import small_library

pytestmark = pytest.mark.sqlite_alone

OF_A_MEMBER = {
    "/": 0,
    "/pages/": 0,
    "/pages/open": 0,
    "/pages/club": 0,
    "/auth/account": 3,
    "/auth/delete": 0,
    "/stripe/pricing": 3,
    "/stripe/invoices": 2,
    "/video/": 4,
    "/live": 2,
    "/live/public": 5,
}
"""The most statements of a page for a member whose session is remembered."""
OF_AN_ADMIN = {
    "/admin/": 15,
    "/admin/members": 3,
    "/admin/members/{ref}": 8,
    "/admin/membership": 4,
    "/admin/membership/ledger": 4,
    "/admin/videos": 4,
    "/admin/audit": 3,
    "/admin/jobs": 3,
    "/admin/live": 3,
    "/dora": 12,
}


class Asked(NamedTuple):
    """Statements, and the transactions in which they ran."""

    statements: list[str]
    transactions: list[Any]


@contextmanager
def asked(engine: Engine) -> Iterator[Asked]:
    """Collect what is asked of the database in the block."""
    found = Asked([], [])

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.statements.append(statement)

    def note_begin(connection: Any) -> None:
        found.transactions.append(connection)

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "begin", note_begin)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)
        event.remove(engine, "begin", note_begin)


@pytest.fixture
def site(membership: Membership, monkeypatch: pytest.MonkeyPatch) -> Iterator[Membership]:
    """A site whose processes look at nothing a second time during a test, however long that takes."""
    small_library(membership.settings.content)
    monkeypatch.setattr(cache, "FRESH_SECONDS", 3600.0)
    monkeypatch.setattr(newest, "_CHECK_SECONDS", 3600.0)
    with maintenance.unwatched(membership.app):
        yield membership


def engine_of(site: Membership) -> Engine:
    with site.app.app_context(), db.read() as session:
        return session.get_bind().engine


def test_pages_of_a_member_ask_little_and_in_one_transaction(site: Membership) -> None:
    user = site.add()
    site.subscribed(user)
    browser, engine = site.browser(user), engine_of(site)
    with site.app.app_context(), db.write() as session:
        if session.query(ChatRoom).count() == 0:
            session.add(ChatRoom(name="public", title="Public", access="members"))
    for path, most in OF_A_MEMBER.items():
        browser.get(path)  # remembers the session, and what all visitors get
        with asked(engine) as found:
            assert browser.get(path).status_code in {200, 302}, path
        assert len(found.statements) <= most, (path, found.statements)
        assert len(found.transactions) <= 1, path
        assert len(set(found.statements)) >= len(found.statements) - 1, path


def test_pages_of_an_admin_ask_a_bounded_number(site: Membership) -> None:
    boss = site.add(role="admin")
    browser, engine = site.browser(boss), engine_of(site)
    for path, most in OF_AN_ADMIN.items():
        browser.get(path.format(ref=boss.ref))
        with asked(engine) as found:
            assert browser.get(path.format(ref=boss.ref)).status_code == 200, path
        assert len(found.statements) <= most, (path, found.statements)


def test_page_of_an_unremembered_session_asks_for_it_once(site: Membership) -> None:
    browser, engine = site.browser(site.add()), engine_of(site)
    browser.get("/pages/open")
    with site.app.app_context():
        sessions.forget_cached()
    with asked(engine) as found:
        browser.get("/pages/open")
    reads = [one for one in found.statements if not one.startswith("UPDATE")]
    assert len(reads) == 2
    assert SignIn.__tablename__ in reads[0]
