"""Search of accounts, and two admins acting at once, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select, text

from church import jobs
from church.config import current_settings
from church.database import kept_sums, member_index, migrations
from church.database.engines import is_sqlite
from church.database.kept_sums import SumName
from church.database.paging import Place
from church.doctor.dependencies import check_database
from church.errors import ConflictError
from church.extensions import db
from church.models import Job, Mail, Schedule
from church.models.accounts import Role, User
from church.models.base import utc_now
from church.models.jobs import JobState
from church.services.accounts import deletion, member_search, members
from church.services.accounts.member_list import PAGE_SIZE, MemberFilters, MemberPlace
from church.services.accounts.members import MemberState
from church.services.admin_overview import counts, retry_failed
from church.services.audit import Actor
from tests.support.people import add_user, sign_in

pytestmark = pytest.mark.services

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)
CONSOLE = Actor(via="cli")
CROWD: dict[str, dict[str, Any]] = {
    "ada@church.example": {"name": "Ada Lovelace", "role": "admin"},
    "grace.hopper@navy.example": {"name": "Grace", "verified": False},
    "under_score@mail.example": {"name": "100% Ärger", "disabled_at": NOW},
    "underXscore@mail.example": {"name": "100 Äpfel"},
    "chloe@mail.example": {"name": "Chloë Åström"},
    "straße@mail.example": {"name": "O'Neil \\ Söhne"},
}


@pytest.fixture
def crowd(on_both: Flask) -> Flask:
    now = utc_now()
    for number, (email, facts) in enumerate(CROWD.items()):
        made = {"ref": f"{number}f00f00f00f00f00", "created_at": now + timedelta(number), "password_hash": "x"}
        add_user(on_both, email, **made, **facts)
    with db.write() as session:
        session.add(User(ref="d" * 16, name="", source="web", created_at=now, deleted_at=now))
    return on_both


@contextmanager
def count_statements() -> Iterator[list[str]]:
    """Collect the statements of readers."""
    with db.read() as session:
        engine = session.get_bind().engine
    statements: list[str] = []

    def note(*given: Any) -> None:
        statements.append(given[2])

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def found(query: str = "", role: Role | None = None, state: MemberState | None = None) -> list[str]:
    return [view.email or view.ref for view in members.search_accounts(MemberFilters(query, role, state)).members]


EVERYONE = ["straße@mail.example", "chloe@mail.example", "underXscore@mail.example", "under_score@mail.example",
             "grace.hopper@navy.example", "ada@church.example"]  # fmt: skip
SEARCHES = {
    "ada": ["ada@church.example"],
    "LOVE": ["ada@church.example"],
    "  ada@  ": ["ada@church.example"],
    "Hopper@Navy": ["grace.hopper@navy.example"],
    "1f00F": ["grace.hopper@navy.example"],
    "ärger": ["under_score@mail.example"],
    "ÄPFEL": ["underXscore@mail.example"],
    "r_s": ["under_score@mail.example"],
    "chloë åström": ["chloe@mail.example"],
    "0%": ["under_score@mail.example"],
    "%": ["under_score@mail.example"],
    "\\": ["straße@mail.example"],
    "o'neil": ["straße@mail.example"],
    "STRAẞE@Mail": ["straße@mail.example"],
    "STRASSE": [],
    "f00f00f00f": [],
    "' OR 1=1 --": [],
    "dddd": [],
    "x" * 5000: [],
    "\x00": EVERYONE,
    "": EVERYONE,
}


def test_search_finds_parts_of_names_and_addresses_and_starts_of_refs(crowd: Flask) -> None:
    assert {query: found(query) for query in SEARCHES} == SEARCHES


def test_search_by_role_and_state_finds_only_those(crowd: Flask) -> None:
    by_state = {state: found(state=state) for state in MemberState}
    assert by_state == {
        MemberState.ACTIVE: [
            "straße@mail.example",
            "chloe@mail.example",
            "underXscore@mail.example",
            "ada@church.example",
        ],
        MemberState.UNVERIFIED: ["grace.hopper@navy.example"],
        MemberState.DISABLED: ["under_score@mail.example"],
        MemberState.DELETED: ["d" * 16],
    }
    for state in by_state:
        assert {view.state for view in members.search_accounts(MemberFilters(state=state)).members} == {state}
    assert found(role=Role.ADMIN) == ["ada@church.example"]
    assert found("score@mail.example", Role.MEMBER, MemberState.ACTIVE) == ["underXscore@mail.example"]


def test_search_pages_list_every_account_once(on_both: Flask) -> None:
    with db.write() as session:
        for number in range(2 * PAGE_SIZE + 1):
            # All created at one moment, so that the order needs a second key.
            session.add(
                User(ref=f"{number:016x}", email_key=f"{number}", name=f"{number}", source="web", created_at=NOW)
            )
    pages = [members.search_accounts()]
    while pages[-1].older:
        pages.append(members.search_accounts(place=MemberPlace(before=pages[-1].older)))
    assert [len(page.members) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    refs = [view.ref for page in pages for view in page.members]
    assert refs == sorted(set(refs), reverse=True)


LONG = {query: found for query, found in SEARCHES.items() if len(query.strip("\x00 ")) >= 3}


@pytest.mark.parametrize("walked", [1, 2, 4])
def test_search_in_the_index_finds_what_reading_finds(
    crowd: Flask, monkeypatch: pytest.MonkeyPatch, walked: int
) -> None:
    monkeypatch.setattr(member_search, "WALKED", walked)
    assert {query: found(query) for query in LONG} == LONG
    assert found("score@mail.example", state=MemberState.DISABLED) == ["under_score@mail.example"]
    assert found("example", Role.ADMIN) == ["ada@church.example"]
    decomposed = unicodedata.normalize("NFD", "chloë åström")
    assert found(decomposed) == found(decomposed.upper()) == ["chloe@mail.example"]


def test_email_with_plus_and_other_domain_is_found_by_any_part(on_both: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_search, "WALKED", 1)
    for email in ("ada+news@church.example", "jörg@bücher.example", "other@church.example"):
        add_user(on_both, email, name="Someone", password_hash="x")
    assert found("+NEWS@church") == found("ada+n") == ["ada+news@church.example"]
    for query in ("bücher", "BÜCHER", "xn--bcher", "jörg@bücher.example", "JÖRG@B", "bu\u0308cher"):
        assert found(query) == ["jörg@bücher.example"], query


def test_short_words_are_found_inside_new_accounts_and_at_the_start_of_old_ones(
    crowd: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_search, "WALKED", 2)  # straße@ and chloe@
    assert found("hl") == ["chloe@mail.example"]
    assert found("ad") == ["ada@church.example"]
    assert found("gr") == found("GR") == ["grace.hopper@navy.example"]
    assert found("op") == []
    assert members.search_accounts(MemberFilters("op")).beginnings
    assert not members.search_accounts(MemberFilters("hopper")).beginnings
    monkeypatch.setattr(member_search, "WALKED", 7)
    assert found("op") == ["grace.hopper@navy.example"]
    assert not members.search_accounts(MemberFilters("op")).beginnings


@pytest.mark.parametrize("query", ["", "member", "er", "m", "nobody"])
@pytest.mark.parametrize("walked", [3, 1000])
def test_pages_of_a_search_are_walked_both_ways(
    on_both: Flask, monkeypatch: pytest.MonkeyPatch, walked: int, query: str
) -> None:
    monkeypatch.setattr(member_search, "WALKED", walked)
    names = ["member", "other", "er", "merry", "x"]
    with db.write() as session:
        for number in range(1, 31):
            name = names[number % 5]
            facts = {"role": "admin" if number % 3 == 0 else "member", "source": "web", "created_at": NOW}
            session.add(User(ref=f"{number:016x}", email_key=f"x{number}@y", email=f"x{number}@y", name=name, **facts))
    expected = [f"{number:016x}" for number in range(30, 0, -1) if query in names[number % 5] and number % 3]
    if walked == 3 and query == "er":  # old accounts are found by the beginning
        expected = [ref for ref in expected if int(ref, 16) > 26 or names[int(ref, 16) % 5] == "er"]
    filters = MemberFilters(query, role=Role.MEMBER)
    pages = [members.search_accounts(filters, MemberPlace(size=4))]
    while pages[-1].older:
        pages.append(members.search_accounts(filters, MemberPlace(before=pages[-1].older, size=4)))
    seen = [view.ref for page in pages for view in page.members]
    if len(query) != 2 or walked == 1000:
        assert seen == expected
    assert len(seen) == len(set(seen))
    for before, page in pairwise(pages):
        back = members.search_accounts(filters, MemberPlace(after=page.newer, size=4))
        assert [view.ref for view in back.members] == [view.ref for view in before.members]


def test_search_follows_each_change_of_an_account(on_both: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_search, "WALKED", 1)
    old = add_user(on_both, "zoe.zimmer@old.example", name="Zoë Zimmer", password_hash="x")
    add_user(on_both, "last@church.example", password_hash="x")
    assert found("zimmer") == found("oë zim") == ["zoe.zimmer@old.example"]
    with pytest.raises(ZeroDivisionError), db.write() as session:  # noqa: PT012 (a transaction)
        session.get_one(User, old.id).name = "Undone"
        session.flush()
        raise ZeroDivisionError
    assert (found("undone"), found("zimmer")) == ([], ["zoe.zimmer@old.example"])
    with db.write() as session:
        row = session.get_one(User, old.id)
        row.name, row.email, row.email_key = "Zoë Bauer", "zoe@new.example", "zoe@new.example"
    assert (found("zimmer"), found("old.example"), found("bauer")) == ([], [], ["zoe@new.example"])
    with db.write() as session:
        deletion.empty_account(session, session.get_one(User, old.id))
    assert found("bauer") == found("new.example") == found("bauer", state=MemberState.DELETED) == []
    with db.read() as session:
        if session.get_bind().dialect.name == "sqlite":
            left = 'SELECT count(*) FROM users_search WHERE users_search MATCH \'"zoe" OR "bauer" OR "zimmer"\''
            assert session.scalar(text(left)) == 0


def test_search_without_pg_trgm_finds_the_beginning_of_old_accounts(
    crowd: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_search, "WALKED", 1)
    site = current_settings()
    assert check_database(site)[0] == "ok"
    if is_sqlite(site):
        return  # its index is always there
    with db.write() as session:
        session.execute(text("DROP EXTENSION pg_trgm CASCADE"))
    for refused in (("_MAY_INSTALL", "SELECT false"), ("_INSTALL", "CREATE EXTENSION no_such_extension")):
        with monkeypatch.context() as patched:
            patched.setattr(member_index, refused[0], text(refused[1]))
            with migrations.locked_connection(site) as connection:
                connection.execute(text(f"UPDATE users SET source = '{refused[0]}'"))
                member_index.ensure_index(connection)
            with db.read() as session:  # the refusal undoes nothing else
                assert set(session.scalars(select(User.source))) == {refused[0]}
    state, finding, fix = check_database(site)
    assert (state, "without pg_trgm" in finding, "CREATE EXTENSION pg_trgm" in fix) == ("warn", True, True)
    page = members.search_accounts(MemberFilters("Grace"))
    assert ([view.name for view in page.members], page.beginnings) == (["Grace"], True)
    assert found("hopper") == []
    migrations.migrate(site)
    assert found("hopper") == ["grace.hopper@navy.example"]
    assert check_database(site)[0] == "ok"


def test_search_takes_the_same_few_statements_however_many_are_found(
    on_both: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_search, "WALKED", 2)

    def count(filters: MemberFilters) -> int:
        with count_statements() as statements:
            members.search_accounts(filters)
        return len(statements)

    everything = [MemberFilters(), MemberFilters("name"), MemberFilters("na"), MemberFilters("name", subscriber=True)]
    for number in range(5):
        add_user(on_both, f"n{number}@church.example", name="Name", password_hash="x")
    few = [count(filters) for filters in everything]
    for number in range(5, 60):
        add_user(on_both, f"n{number}@church.example", name="Name", password_hash="x")
    many = [count(filters) for filters in everything]
    assert all(later <= sooner + 1 for later, sooner in zip(many, few, strict=True))
    assert max(few + many) <= 12


def at_once(app: Flask, *changes: Callable[[], object]) -> list[object]:
    """Run ``changes`` in parallel threads and return their results or errors."""
    results: list[object] = []
    start = threading.Barrier(len(changes))

    def run(change: Callable[[], object]) -> None:
        with app.app_context():
            start.wait()
            try:
                results.append(change())
            except ConflictError as error:
                results.append(error)

    threads = [threading.Thread(target=run, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_admins_demoting_each_other_at_once_leave_one(on_both: Flask) -> None:
    for attempt in range(5):
        names = (f"one{attempt}@church.example", f"two{attempt}@church.example")
        pair = [add_user(on_both, name, role="admin", password_hash="x") for name in names]
        results = at_once(
            on_both,
            lambda pair=pair: members.set_role(pair[0].ref, Role.MEMBER, Actor(pair[1].id)),  # type: ignore[misc]
            lambda pair=pair: members.disable_account(pair[1].ref, Actor(pair[0].id)),  # type: ignore[misc]
        )
        assert len([result for result in results if isinstance(result, ConflictError)]) == 1, results
        left = members.search_accounts(MemberFilters(role=Role.ADMIN, state=MemberState.ACTIVE)).members
        assert len(left) == 1
        with db.write() as session:  # no admins are left for the next round
            for user in session.query(User):
                user.role = "member"


def test_member_counts_match_the_rows(crowd: Flask) -> None:
    with db.read() as session:
        counted = counts.count_members(session)
    assert counted == counts.MemberCounts(
        members=6, verified=5, admins=1, disabled=1, subscriptions=0, new_7=6, new_30=6
    )


def test_kept_sums_of_accounts_and_sign_ins_follow_every_change(on_both: Flask) -> None:
    def kept() -> tuple[dict[str, int], int]:
        with db.read() as session:
            assert kept_sums.find_wrong_sums(session.connection()) == []
            sums = kept_sums.read_all_sums(session, SumName.ACCOUNTS, SumName.SIGN_INS)
        accounts = {key: total.count for key, total in sums[SumName.ACCOUNTS].items()}
        return accounts, sum(total.count for total in sums[SumName.SIGN_INS].values())

    def change(sql: str) -> None:
        with db.write() as session:
            session.execute(text(sql))

    assert kept() == ({}, 0)
    people = [add_user(on_both, f"p{n}@church.example", verified=n > 0, password_hash="x") for n in range(4)]
    sign_in(on_both, people[1])
    sign_in(on_both, people[2])
    some = {"open/member/confirmed": 3, "open/member/unconfirmed": 1}
    assert kept() == (some, 2)
    with pytest.raises(ZeroDivisionError), db.write() as session:  # noqa: PT012 (a transaction)
        session.execute(text("UPDATE users SET role = 'admin'"))
        session.execute(text("DELETE FROM sign_ins"))
        raise ZeroDivisionError
    assert kept() == (some, 2)
    change("UPDATE users SET role = 'admin', name = 'B'")
    change(f"UPDATE users SET disabled_at = created_at WHERE id <= {people[1].id}")
    change(f"UPDATE users SET deleted_at = created_at, email = NULL WHERE id = {people[2].id}")
    change("DELETE FROM sign_ins")
    after = {"open/admin/confirmed": 1, "disabled/admin/unconfirmed": 1, "disabled/admin/confirmed": 1,
             "deleted/admin/confirmed": 1}  # fmt: skip
    assert kept() == (after, 0)
    kept_sums.add_up(db)
    assert kept() == (after, 0)


def test_work_counts_show_waiting_and_late_jobs(on_both: Flask) -> None:
    before = utc_now() - timedelta(minutes=10)
    with db.write() as session:
        facts = {"payload": {}, "max_attempts": 5, "created_at": before, "run_at": before}
        session.add_all(Job(kind="pages.index", state=state, **facts) for state in ("pending", "dead", "dead", "done"))
        session.add(Job(kind="gone.kind", state="pending", **facts | {"run_at": before - timedelta(days=9)}))
        mail = {"template": "verify", "recipient": "a@b.example", "context": {}, "created_at": before}
        session.add_all(Mail(state=state, **mail) for state in ("pending", "failed", "sent"))
        session.add(Schedule(kind="jobs.purge", every_seconds=60, next_at=before, last_at=before))
        session.add(Schedule(kind="pages.index", every_seconds=60, next_at=utc_now() + timedelta(hours=1)))
        session.add(Schedule(kind="gone.kind", every_seconds=60, next_at=before))
    with db.read() as session:
        work = counts.count_work(session, timedelta(minutes=1))
    assert (work.pending, work.running, work.dead, work.mails_pending, work.mails_failed) == (2, 0, 2, 1, 1)
    assert 600 <= work.waiting < timedelta(days=9).total_seconds()
    assert (work.late, work.scheduled_at) == (("jobs.purge",), before)


def test_jobs_are_listed_by_state_newest_first_and_paged_by_number(on_both: Flask) -> None:
    with db.write() as session:
        for state in ("dead", "done", "dead", "pending"):
            facts = {"payload": {"secret": "s3cret"}, "max_attempts": 5, "created_at": NOW, "run_at": NOW}
            session.add(Job(kind="test.work", state=state, error="broke", **facts))
            session.flush()
    every = jobs.list_jobs()
    assert [job.state for job in every] == ["pending", "dead", "done", "dead"]
    assert "s3cret" not in repr(every)
    assert jobs.list_jobs(place=Place(before=every[1].id)) == every[2:]
    assert jobs.list_jobs(JobState.DEAD, Place(size=1)) == [every[1]]
    assert jobs.list_jobs(JobState.DEAD, Place(before=every[1].id)) == [every[3]]
    assert jobs.count_by_state() == {"pending": 1, "running": 0, "done": 1, "dead": 2}


def test_retry_is_audited_and_refused_if_nothing_failed(on_both: Flask) -> None:
    with db.write() as session:
        dead = Job(kind="t", state="dead", attempts=5, payload={}, max_attempts=5, created_at=NOW, run_at=NOW)
        failed = Mail(
            template="verify", recipient="a@b.example", context={}, created_at=NOW, state="failed", attempts=8
        )
        session.add_all((dead, failed))
        session.flush()
        job_id, mail_id = dead.id, failed.id
    retry_failed.retry_job(job_id, CONSOLE)
    retry_failed.retry_email(mail_id, CONSOLE)
    assert jobs.count_by_state()[JobState.PENDING] == 2  # the job, and one that sends the mail
    for again in (
        lambda: retry_failed.retry_job(job_id, CONSOLE),
        lambda: retry_failed.retry_email(mail_id, CONSOLE),
        lambda: retry_failed.retry_job(2**62, CONSOLE),
    ):
        with pytest.raises(ConflictError):
            again()
