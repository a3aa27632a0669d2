"""The admin area over HTTP: access, escaping, and changes by form and by JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from church.database import DatabaseDownError
from church.extensions import db
from church.models import Job, Mail
from church.models.accounts import User
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import audit, email_links
from church.services.accounts import members
from church.services.admin_overview import counts
from church.services.audit import Actor
from church.services.email_links import Purpose
from tests.support.accounts_fixture import audited, mails
from tests.support.desk import JSON, AdminBrowser, add_person, call_in_context
from tests.support.helpers import grows
from tests.support.people import add_user, client_of, sign_in

HOSTILE = '"><svg onload=x>{{7*7}}</title>'
LISTS = ["/admin/", "/admin/members", "/admin/jobs", "/admin/mails", "/admin/audit"]


@pytest.fixture
def desk(app: Flask) -> AdminBrowser:
    return AdminBrowser(app, add_person(app, "boss@church.example", name="Boss", role="admin"))


@pytest.fixture
def ada(app: Flask) -> User:
    return add_person(app, "ada@church.example")


def path_of(user: User, action: str = "") -> str:
    return f"/admin/members/{user.ref}{action}"


def failed_work() -> tuple[int, int]:
    """Add a dead job and a failed email. Returns their ids."""
    with db.write() as session:
        facts = {"payload": {"secret": "s3cret"}, "max_attempts": 5, "created_at": utc_now(), "run_at": utc_now()}
        job = Job(kind="test.work", state="dead", attempts=5, error=HOSTILE, **facts)
        context = {"words": "s3cret"}
        mail = Mail(template="verify", recipient="ada@church.example", context=context, created_at=utc_now())
        mail.state, mail.reason, mail.attempts = "failed", HOSTILE, 8
        session.add_all((job, mail))
        session.flush()
        return job.id, mail.id


# -- who comes in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_admin_area_is_closed_to_all_but_admins(app: Flask, ada: User, path: str) -> None:
    assert app.test_client().get(path).headers["Location"].startswith("/auth/login?next=%2Fadmin%2F")
    assert app.test_client().get(path, headers=JSON).status_code == 401
    with grows(definitions.security_events.labels("role_probe", "medium")):
        assert client_of(app, ada).get(path).status_code == 403
    unverified = add_person(app, "new@church.example", role="admin", verified=False)
    assert client_of(app, unverified).get(path).status_code == 403


@pytest.mark.parametrize("path", LISTS)
def test_every_page_is_shown_to_admins_and_not_stored(desk: AdminBrowser, path: str) -> None:
    for headers in ({}, JSON):
        found = desk.get(path, **headers)
        assert found.status_code == 200
        assert {"private", "no-store"} <= set(found.headers["Cache-Control"].split(", "))
        assert {"Accept", "Cookie"} <= {name.strip() for name in found.headers["Vary"].split(",")}


def test_navigation_lists_every_section_and_marks_the_current_one(desk: AdminBrowser) -> None:
    page = desk.get("/admin/jobs").text
    sections = re.findall(r'<li><a href="(/admin/\w*)"( aria-current="page")?>([\w ]+)</a></li>', page)
    assert [(path, title) for path, _, title in sections] == [
        ("/admin/", "Overview"),
        ("/admin/members", "Members"),
        ("/admin/membership", "Membership"),
        ("/admin/videos", "Videos"),
        ("/admin/live", "Chat"),
        ("/admin/jobs", "Jobs"),
        ("/admin/mails", "Emails"),
        ("/admin/audit", "Audit log"),
    ]
    assert [path for path, here, _ in sections if here] == ["/admin/jobs"]


# -- overview -------------------------------------------------------------------------------------------------------


def test_overview_shows_parts_numbers_and_errors_escaped(desk: AdminBrowser, app: Flask) -> None:
    log = app.config["CHURCH"].log_dir / "error.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text('{"timestamp": "2026-11-23T10:00:00Z", "event": "e", "message": "<svg onload=x>"}\n')
    page = desk.get("/admin/").text
    assert "<svg onload" not in page
    assert "&lt;svg onload=x&gt;" in page
    assert "Shared store is not responding" in page
    found = desk.get("/admin/", **JSON).json["overview"]  # type: ignore[index]
    assert found["members"] == {"members": 1, "verified": 1, "admins": 1, "disabled": 0, "new_7": 1, "new_30": 1}
    assert {"name": "Database", "verdict": "ok", "finding": "SQLite is responding."} in found["parts"]
    assert found["errors"]["records"][0]["message"] == "<svg onload=x>"


def test_overview_is_shown_while_the_database_is_down(desk: AdminBrowser, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: object) -> Any:
        raise DatabaseDownError

    monkeypatch.setattr(counts, "count_members", down)  # not the whole database: the admin must be recognized
    found = desk.get("/admin/")
    assert found.status_code == 200
    assert "there are no numbers" in found.text


# -- members --------------------------------------------------------------------------------------------------------


def test_members_are_found_filtered_and_paged(desk: AdminBrowser, ada: User, app: Flask) -> None:
    for number in range(60):
        add_person(app, f"m{number}@mail.example")
    first = desk.get("/admin/members?q=mail.example")
    assert len(re.findall(r'href="/admin/members/[0-9a-f]{16}"', first.text)) == 50
    assert "60 accounts, page 1 of 2" in first.text
    assert 'href="/admin/members?q=mail.example&amp;page=2"' in first.text
    assert len(desk.get("/admin/members?q=mail.example&page=2", **JSON).json["found"]["members"]) == 10  # type: ignore[index]
    admins = desk.get("/admin/members?role=admin&state=active", **JSON).json["found"]  # type: ignore[index]
    assert [member["name"] for member in admins["members"]] == ["Boss"]
    assert "No matches" in desk.get("/admin/members?q=nobody").text


@pytest.mark.parametrize(
    "query", ["members?role=root", "members?state=x", "members?page=-1", "members?page=²", "jobs?state=sent",
              "mails?state=dead", "jobs?before=1e3", f"audit?before={'9' * 30}"],
)  # fmt: skip
def test_unknown_filter_value_is_refused(desk: AdminBrowser, query: str) -> None:
    assert desk.get(f"/admin/{query}").status_code == 400


def test_member_name_with_markup_is_escaped(desk: AdminBrowser, app: Flask) -> None:
    hostile = add_person(app, "x@church.example", name=HOSTILE)
    call_in_context(app, members.set_role, hostile.ref, members.Role.ADMIN, Actor(hostile.id, "web", HOSTILE))
    for path in ("/admin/members", path_of(hostile), "/admin/audit", f"/admin/members?q={quote(HOSTILE)}"):
        page = desk.get(path).text
        assert "<svg onload" not in page
        assert "&lt;svg onload=x&gt;{{7*7}}" in page


def test_member_page_shows_devices_and_history(desk: AdminBrowser, ada: User, app: Flask) -> None:
    sign_in(app, ada)
    call_in_context(app, members.end_sessions, ada.ref, Actor(desk.user.id))
    sign_in(app, ada)
    page = desk.get(path_of(ada)).text
    assert all(words in page for words in ("ada@church.example", "Firefox on Linux", "member.sessions_ended", "Boss"))
    found = desk.get(path_of(ada), **JSON).json["dossier"]  # type: ignore[index]
    assert found["member"]["state"] == "active"
    assert found["history"][0]["detail"] == {"sessions": 1}
    assert "password_hash" not in str(found)


def test_member_page_shows_how_long_a_password_link_is_valid(desk: AdminBrowser, ada: User, app: Flask) -> None:
    invited = add_user(app, "new@church.example", password_hash=None)
    assert (email_links.LIFETIMES[Purpose.RESET], email_links.INVITATION) == (timedelta(hours=1), timedelta(days=7))
    assert "It works for one hour. The current password works" in desk.get(path_of(ada)).text
    assert "It works for 7 days. The account has no password yet." in desk.get(path_of(invited)).text


# -- changes --------------------------------------------------------------------------------------------------------

CHANGES: list[tuple[str, dict[str, str], str, str]] = [
    ("/role", {"role": "admin"}, "member.promoted", "Ada is an admin."),
    ("/disable", {}, "member.disabled", "Ada is disabled and signed out everywhere."),
    ("/enable", {}, "member.enabled", "Ada can sign in again."),
    ("/end-sessions", {}, "member.sessions_ended", "Signed out of 1 device."),
    ("/reset", {}, "member.reset_sent", "Password link sent."),
]


def before(action: str, app: Flask, user: User) -> None:
    """Prepare the account so that the action changes it."""
    if action == "/enable":
        call_in_context(app, members.disable_account, user.ref, Actor(via="cli"))
    if action == "/end-sessions":
        sign_in(app, user)


@pytest.mark.parametrize(("action", "sent", "entry", "words"), CHANGES)
def test_change_by_form_is_made_confirmed_and_audited(
    desk: AdminBrowser, ada: User, app: Flask, action: str, sent: dict[str, str], entry: str, words: str
) -> None:
    before(action, app, ada)
    found = desk.send(path_of(ada, action), **sent)
    assert (found.status_code, found.headers["Location"]) == (303, path_of(ada))
    assert words in desk.get(path_of(ada)).text
    last = call_in_context(app, audit.list_entries, limit=1)[0]
    assert last.actor is not None
    assert (last.action, last.actor.ref, last.address) == (entry, desk.user.ref, "127.0.0.1")
    assert last.request_id == found.headers["X-Request-ID"]


@pytest.mark.parametrize(("action", "sent", "entry", "words"), CHANGES)
def test_change_by_json_returns_the_account(
    desk: AdminBrowser, ada: User, app: Flask, action: str, sent: dict[str, str], entry: str, words: str
) -> None:
    before(action, app, ada)
    found = desk.tell(path_of(ada, action), sent)
    assert found.status_code == 200
    assert (found.json["detail"], found.json["member"]["ref"]) == (words, ada.ref)  # type: ignore[index]
    assert call_in_context(app, audited)[-1] == entry


@pytest.mark.parametrize(("action", "sent", "entry", "words"), CHANGES)
def test_change_without_csrf_token_is_refused(
    desk: AdminBrowser, ada: User, app: Flask, action: str, sent: dict[str, str], entry: str, words: str
) -> None:
    assert desk.client.post(path_of(ada, action), data=sent).status_code == 400
    foreign = desk.client.post(path_of(ada, action), json=sent, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 400
    assert desk.get(path_of(ada, action)).status_code == 405
    assert (call_in_context(app, audited), call_in_context(app, mails)) == ([], [])


def test_pages_offer_only_actions_that_fit_the_account(desk: AdminBrowser, app: Flask, ada: User) -> None:
    def offered() -> set[str]:
        return set(re.findall(rf'action="{path_of(ada)}/([\w-]+)"', desk.get(path_of(ada)).text))

    assert offered() == {"role", "end-sessions", "reset", "disable", "grants"}
    call_in_context(app, members.disable_account, ada.ref, Actor(via="cli"))
    assert offered() == {"role", "end-sessions", "enable", "grants"}


@pytest.mark.parametrize("role", ["", "root", "Admin", " admin"])
def test_unknown_role_is_refused(desk: AdminBrowser, app: Flask, ada: User, role: str) -> None:
    assert desk.send(path_of(ada, "/role"), role=role).status_code == 400
    assert call_in_context(app, members.load_member, ada.ref).role == "member"


def test_first_of_repeated_roles_counts_and_other_columns_are_ignored(
    desk: AdminBrowser, app: Flask, ada: User
) -> None:
    found = desk.tell(path_of(ada, "/disable"), {"role": "admin", "verified_at": None, "email": "x@y.example"})
    assert found.status_code == 200
    seen = call_in_context(app, members.load_member, ada.ref)
    assert (seen.role, seen.email) == ("member", "ada@church.example")
    assert seen.verified_at is not None


# -- the admin's own account ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "sent"), [("/role", {"role": "member"}), ("/disable", {})])
def test_last_admin_cannot_be_removed_and_learns_why(desk: AdminBrowser, action: str, sent: dict[str, str]) -> None:
    found = desk.send(path_of(desk.user, action), own="1", **sent)
    assert found.status_code == 409
    assert "This is the last admin who can sign in." in found.text
    problem = desk.tell(path_of(desk.user, action), {"own": True, **sent})
    assert (problem.status_code, problem.mimetype) == (409, "application/problem+json")
    assert "last admin" in problem.json["detail"]  # type: ignore[index]
    assert desk.get("/admin/").status_code == 200


@pytest.mark.parametrize(("action", "sent"), [("/role", {"role": "member"}), ("/disable", {})])
def test_own_account_is_changed_only_when_confirmed(
    desk: AdminBrowser, app: Flask, action: str, sent: dict[str, str]
) -> None:
    add_person(app, "other@church.example", role="admin")
    assert 'name="own" value="1" required' in desk.get(path_of(desk.user)).text
    unmeant = desk.send(path_of(desk.user, action), **sent)
    assert unmeant.status_code == 409
    assert "This is your own account" in unmeant.text
    meant = desk.send(path_of(desk.user, action), own="1", **sent)
    assert (meant.status_code, meant.headers["Location"]) == (303, "/")
    with desk.client.session_transaction() as cookie:
        assert "since" in cookie  # so that no worker uses its cached session
    assert desk.get("/admin/", **JSON).status_code in {401, 403}


# -- work -----------------------------------------------------------------------------------------------------------


def test_jobs_and_emails_show_state_and_reason_but_no_content(desk: AdminBrowser, app: Flask) -> None:
    call_in_context(app, failed_work)
    for path in ("/admin/jobs?state=dead", "/admin/mails?state=failed"):
        for found in (desk.get(path), desk.get(path, **JSON)):
            assert "s3cret" not in found.text
        page = desk.get(path).text
        assert "<svg onload" not in page
        assert "&lt;svg onload=x&gt;{{7*7}}" in page
    assert desk.get("/admin/jobs", **JSON).json["counts"]["dead"] == 1  # type: ignore[index]
    assert "No pending jobs" in desk.get("/admin/jobs?state=pending").text
    assert "No sent emails" in desk.get("/admin/mails?state=sent").text


def test_dead_job_and_failed_email_are_retried_once(desk: AdminBrowser, app: Flask) -> None:
    job, mail = call_in_context(app, failed_work)
    for path, back, entry in (
        (f"/admin/jobs/{job}/retry", "/admin/jobs?state=dead", "job.retried"),
        (f"/admin/mails/{mail}/retry", "/admin/mails?state=failed", "mail.retried"),
    ):
        found = desk.send(path)
        assert (found.status_code, found.headers["Location"]) == (303, back)
        assert call_in_context(app, audited)[-1] == entry
        assert desk.send(path).status_code == 409
    assert call_in_context(app, audited) == ["job.retried", "mail.retried"]
    with app.app_context(), db.read() as session:
        assert (session.get_one(Job, job).state, session.get_one(Mail, mail).state) == ("pending", "pending")


@pytest.mark.parametrize("number", ["99999999999999999999", "x", "-1"])
def test_retry_of_an_invalid_id_is_not_found(desk: AdminBrowser, number: str) -> None:
    assert desk.send(f"/admin/jobs/{number}/retry").status_code == 404
    assert desk.send(f"/admin/mails/{number}/retry").status_code == 404


# -- paging ---------------------------------------------------------------------------------------------------------


def add_audit(count: int, actor: User) -> None:
    with db.write() as session:
        for number in range(count):
            audit.record(session, "account.renamed", subject_id=actor.id, number=number)


def add_jobs(count: int, _actor: User) -> None:
    with db.write() as session:
        facts = {"payload": {}, "max_attempts": 5, "created_at": utc_now(), "run_at": utc_now()}
        session.add_all(Job(kind="test", **facts) for _ in range(count))


def add_mails(count: int, _actor: User) -> None:
    with db.write() as session:
        facts: dict[str, Any] = {"template": "verify", "recipient": "a@b.example", "context": {}}
        session.add_all(Mail(created_at=utc_now(), **facts) for _ in range(count))


@pytest.mark.parametrize(
    ("path", "name", "add"),
    [
        ("/admin/audit?action=account.renamed", "entries", add_audit),
        ("/admin/jobs?state=pending", "jobs", add_jobs),
        ("/admin/mails?state=pending", "mails", add_mails),
    ],
)
def test_lists_are_paged_to_the_end_and_keep_the_filter(
    desk: AdminBrowser, app: Flask, path: str, name: str, add: Callable[[int, User], None]
) -> None:
    call_in_context(app, add, 100, desk.user)
    seen: list[int] = []
    pages = 0
    address: str | None = path
    while address is not None:
        found = desk.get(address, **JSON).json[name]  # type: ignore[index]
        seen += [row["id"] for row in found["rows"]]
        pages += 1
        links = re.findall(r'<a href="([^"]+)" rel="next">', desk.get(address).text)
        address = links[0].replace("&amp;", "&") if links else None
        assert (found["older"] is None) == (address is None)
    assert pages == 2
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 100


def test_audit_log_is_filtered_by_action_and_member(desk: AdminBrowser, app: Flask, ada: User) -> None:
    sign_in(app, desk.user)
    call_in_context(app, members.end_sessions, desk.user.ref, Actor(via="cli"))
    desk = AdminBrowser(app, desk.user)
    call_in_context(app, members.disable_account, ada.ref, Actor(desk.user.id))
    call_in_context(app, members.enable_account, ada.ref, Actor(desk.user.id))

    def actions(query: str) -> list[str]:
        found = desk.get(f"/admin/audit?{query}", **JSON).json["entries"]["rows"]  # type: ignore[index]
        return [entry["action"] for entry in found]

    assert actions("") == ["member.enabled", "member.disabled", "member.sessions_ended"]
    assert actions("action=member.disabled") == ["member.disabled"]
    assert actions(f"member={ada.ref}") == ["member.enabled", "member.disabled"]
    assert actions(f"member={ada.ref}&action=member.sessions_ended") == []
    assert "<option selected>member.enabled</option>" in desk.get("/admin/audit?action=member.enabled").text
