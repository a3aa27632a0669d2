"""Accounts from the command line: said in a line, refused in a line, and written into the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy import update

from church.cli import church
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose
from church.models.base import utc_now
from church.services import audit, email_links
from church.services.accounts import members
from church.services.email import queue

Run = Callable[..., Result]
ADA = "ada@example.org"


@pytest.fixture
def run(app: Flask) -> Iterator[Run]:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(church, ["user", *words], obj=ScriptInfo(create_app=lambda: app))

    with app.app_context():
        yield invoke
        db.dispose()


def ada() -> members.MemberView:
    (found,) = members.search(ADA).members
    return found


def refused(result: Result) -> str:
    """The one line of a refusal."""
    assert result.exit_code == 1, result.output
    (line,) = result.output.splitlines()
    return line


def test_create_makes_an_account_without_a_password_and_mails_a_link(run: Run) -> None:
    result = run("create", ADA, "--name", "Ada")
    assert result.exit_code == 0, result.output
    made = ada()
    assert result.output.startswith(f"Member {made.ref} is made.\nMails are written to ")
    assert (made.name, made.role, made.has_password, made.source) == ("Ada", "member", False, "cli")
    assert [(mail.template, mail.recipient) for mail in queue.recent()] == [("invited", ADA)]
    assert [(entry.action, entry.via) for entry in audit.entries()] == [("member.created", "cli")]


def test_create_of_an_admin_says_so(run: Run) -> None:
    assert run("create", ADA, "--admin").output.startswith("Admin ")
    assert ada().role == "admin"


def test_create_of_what_is_no_address_says_so(run: Run) -> None:
    assert "valid email address" in refused(run("create", "ada"))
    assert "A name can have at most 80 characters" in refused(run("create", ADA, "--name", "x" * 81))
    assert members.search(ADA).total == 0


def test_create_of_an_address_that_has_an_account_is_refused(run: Run) -> None:
    run("create", ADA)
    assert "address already has an account" in refused(run("create", "Ada@Example.org"))


@pytest.mark.parametrize("by_ref", [False, True])
def test_promote_and_demote_change_the_role(run: Run, by_ref: bool) -> None:
    run("create", ADA, "--name", "Ada")
    who = ada().ref if by_ref else "ADA@example.org"
    assert run("promote", who).output == "Ada is an admin.\n"
    assert ada().role == "admin"
    assert run("demote", who).output == "Ada is no admin.\n"
    assert ada().role == "member"
    assert [entry.action for entry in audit.entries(limit=2)] == ["member.demoted", "member.promoted"]


def test_disable_and_enable_shut_and_open_the_account(run: Run) -> None:
    run("create", ADA, "--name", "Ada")
    assert run("disable", ADA).output == "Ada can't sign in any more.\n"
    assert ada().state == "disabled"
    assert run("enable", ADA).output == "Ada may sign in.\n"
    assert ada().state == "unverified"


def test_last_admin_stays(run: Run) -> None:
    run("create", ADA, "--admin")
    with db.write() as session:
        session.execute(update(User).values(verified_at=utc_now()))
    for command in ("demote", "disable"):
        assert "last admin" in refused(run(command, ADA))
    assert (ada().role, ada().state) == ("admin", "active")


def test_reset_mails_a_link(run: Run) -> None:
    run("create", ADA)
    with db.write() as session:
        session.execute(update(User).values(password_hash="x"))
    assert "outbox" in run("reset", ADA).output
    assert [mail.template for mail in queue.recent(limit=1)] == ["reset"]
    assert "disabled" in (run("disable", ADA) and refused(run("reset", ADA)))


@pytest.mark.parametrize("command", ["promote", "demote", "disable", "enable", "reset"])
@pytest.mark.parametrize("who", ["eve@example.org", "0123456789abcdef", "@", ""])
def test_who_is_unknown_is_said_and_nothing_is_done(run: Run, command: str, who: str) -> None:
    assert "account" in refused(run(command, who))
    assert audit.entries() == []


def test_first_admin_prints_a_link_until_there_is_an_admin(run: Run) -> None:
    line = run("first-admin").output
    token = line.split()[3].rpartition("/")[2]
    assert line.startswith("First admin: open http://127.0.0.1:8000/auth/first-admin/")
    assert email_links.peek(token, Purpose.FIRST_ADMIN)
    run("create", ADA, "--admin")
    assert "There is an admin already" in refused(run("first-admin"))
