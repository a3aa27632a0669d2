"""Accounts in the admin area: search, and changes by form and by JSON."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from flask import Flask

from church.models.accounts import User
from church.services import audit
from church.services.accounts import members
from church.services.audit import Actor
from tests.support.accounts_fixture import audited, mails
from tests.support.desk import JSON, AdminBrowser, add_person, call_in_context
from tests.support.people import sign_in

HOSTILE = '"><svg onload=x>{{7*7}}</title>'


def path_of(user: User, action: str = "") -> str:
    return f"/admin/members/{user.ref}{action}"


def test_members_are_found_filtered_and_paged(desk: AdminBrowser, ada: User, app: Flask) -> None:
    for number in range(60):
        add_person(app, f"m{number}@mail.example")
    first = desk.get("/admin/members?q=mail.example")
    assert len(re.findall(r'href="/admin/members/[0-9a-f]{16}"', first.text)) == 50
    assert "Accounts, newest first" in first.text
    (older,) = re.findall(r'href="([^"]+)" rel="next"', first.text)
    assert older.startswith("/admin/members?before=")
    second = desk.get(older.replace("&amp;", "&"))
    assert len(re.findall(r'href="/admin/members/[0-9a-f]{16}"', second.text)) == 10
    (newer,) = re.findall(r'href="([^"]+)" rel="prev"', second.text)
    again = desk.get(newer.replace("&amp;", "&"), **JSON).json["found"]  # type: ignore[index]
    assert again == desk.get("/admin/members?q=mail.example", **JSON).json["found"]  # type: ignore[index]
    assert '<input type="hidden" name="q" value="mail.example">' in first.text
    admins = desk.get("/admin/members?role=admin&state=active", **JSON).json["found"]  # type: ignore[index]
    assert [member["name"] for member in admins["members"]] == ["Boss"]
    assert "No matches" in desk.get("/admin/members?q=nobody").text


def test_member_name_with_markup_is_escaped(desk: AdminBrowser, app: Flask) -> None:
    hostile = add_person(app, "x@church.example", name=HOSTILE)
    call_in_context(app, members.set_role, hostile.ref, members.Role.ADMIN, Actor(hostile.id, "web", HOSTILE))
    for path in ("/admin/members", path_of(hostile), "/admin/audit", f"/admin/members?q={quote(HOSTILE)}"):
        page = desk.get(path).text
        assert "<svg onload" not in page
        assert "&lt;svg onload=x&gt;{{7*7}}" in page


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
    last = call_in_context(app, audit.list_entries)[0]
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
