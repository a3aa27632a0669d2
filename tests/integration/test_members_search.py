"""Search of accounts, and two admins acting at once, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from church import jobs
from church.errors import ConflictError
from church.extensions import db
from church.models import Job, Mail, Schedule
from church.models.accounts import Role, User
from church.models.base import utc_now
from church.models.jobs import JobState
from church.services.accounts import members
from church.services.accounts.member_list import PAGE_SIZE
from church.services.accounts.members import MemberState
from church.services.admin_overview import counts, retry_failed
from church.services.audit import Actor
from tests.support.people import add_user

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


def found(query: str = "", role: Role | None = None, state: MemberState | None = None) -> list[str]:
    return [view.email or view.ref for view in members.search_accounts(query, role, state).members]


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
    for state, expected in by_state.items():
        assert {view.state for view in members.search_accounts(state=state).members} == {state}
        assert members.search_accounts(state=state).total == len(expected)
    assert found(role=Role.ADMIN) == ["ada@church.example"]
    assert found("score@mail.example", Role.MEMBER, MemberState.ACTIVE) == ["underXscore@mail.example"]


def test_search_pages_list_every_account_once(on_both: Flask) -> None:
    with db.write() as session:
        for number in range(2 * PAGE_SIZE + 1):
            # All created at one moment, so that the order needs a second key.
            session.add(
                User(ref=f"{number:016x}", email_key=f"{number}", name=f"{number}", source="web", created_at=NOW)
            )
    pages = [members.search_accounts(page=number) for number in (1, 2, 3)]
    assert [len(page.members) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    refs = [view.ref for page in pages for view in page.members]
    assert refs == sorted(set(refs), reverse=True)
    assert {(page.total, page.pages) for page in pages} == {(2 * PAGE_SIZE + 1, 3)}
    assert members.search_accounts(page=10**30) == pages[2]
    assert members.search_accounts(page=-5) == pages[0]
    assert (members.search_accounts("nobody").page, members.search_accounts("nobody").pages) == (1, 1)


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
        left = members.search_accounts(role=Role.ADMIN, state=MemberState.ACTIVE).members
        assert len(left) == 1
        with db.write() as session:  # no admins are left for the next round
            for user in session.query(User):
                user.role = "member"


def test_member_counts_match_the_rows(crowd: Flask) -> None:
    with db.read() as session:
        counted = counts.count_members(session)
    assert counted == counts.MemberCounts(members=6, verified=5, admins=1, disabled=1, new_7=6, new_30=6)


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
    assert jobs.list_jobs(before_id=every[1].id) == every[2:]
    assert jobs.list_jobs(JobState.DEAD, limit=1) == [every[1]]
    assert jobs.list_jobs(JobState.DEAD, every[1].id) == [every[3]]
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
    assert retry_failed.list_audited_actions() == ["job.retried", "mail.retried"]
