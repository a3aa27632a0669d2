"""Account commands: one line of output, one line for an error, and an entry in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from pydantic import SecretStr
from sqlalchemy import update

from church.cli import church
from church.config import current_settings
from church.database.paging import Place
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose
from church.models.base import utc_now
from church.server.announce import describe_outbox
from church.services import audit, email_links
from church.services.accounts import MemberFilters, members, validation
from church.services.email import queue
from tests.support.helpers import with_settings

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
    (found,) = members.search_accounts(MemberFilters(ADA)).members
    return found


def refused(result: Result) -> str:
    """Return the error's only line."""
    assert result.exit_code == 1, result.output
    (line,) = result.output.splitlines()
    return line


def test_create_account_without_password_is_emailed_a_link(run: Run) -> None:
    result = run("create", ADA, "--name", "Ada")
    assert result.exit_code == 0, result.output
    account = ada()
    assert result.output == f"Created {ADA}.\n{describe_outbox(current_settings())}\n"
    assert (account.name, account.role, account.has_password, account.source) == ("Ada", "member", False, "cli")
    assert [(mail.template, mail.recipient) for mail in queue.list_recent_emails()] == [("invited", ADA)]
    assert [(entry.action, entry.via) for entry in audit.list_entries()] == [("member.created", "cli")]


def test_create_with_a_mail_server_reports_the_invitation(run: Run, app: Flask) -> None:
    app.config["CHURCH"] = with_settings(current_settings(), smtp_url=SecretStr("smtp://localhost"))
    assert run("create", ADA).output == f"Created {ADA}; invitation sent.\n"
    with db.write() as session:
        session.execute(update(User).values(password_hash="x"))
    assert run("reset", ADA).output == "Password link sent.\n"


def test_create_admin_prints_the_role(run: Run) -> None:
    assert run("create", ADA, "--admin").output.startswith(f"Created admin {ADA}.\n")
    assert ada().role == "admin"


def test_create_invalid_address_or_name_is_refused(run: Run) -> None:
    assert "valid email address" in refused(run("create", "ada"))
    assert "A name can have at most 80 characters" in refused(run("create", ADA, "--name", "x" * 81))
    assert members.search_accounts(MemberFilters(ADA)).members == []


def test_create_address_that_the_mail_server_cannot_reach_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "can_send_to", lambda _site, email: email.isascii())
    assert "We can't send email to this address" in refused(run("create", "jörg@example.org"))
    assert queue.list_recent_emails() == []


def test_create_existing_address_is_refused(run: Run) -> None:
    run("create", ADA)
    assert "address already has an account" in refused(run("create", "Ada@Example.org"))


@pytest.mark.parametrize("by_ref", [False, True])
def test_promote_and_demote_change_the_role(run: Run, by_ref: bool) -> None:
    run("create", ADA, "--name", "Ada")
    who = ada().ref if by_ref else "ADA@example.org"
    assert run("promote", who).output == "Ada is an admin.\n"
    assert ada().role == "admin"
    assert run("demote", who).output == "Ada is no longer an admin.\n"
    assert ada().role == "member"
    assert [entry.action for entry in audit.list_entries(place=Place(size=2))] == ["member.demoted", "member.promoted"]


def test_disable_and_enable_change_the_state(run: Run) -> None:
    run("create", ADA, "--name", "Ada")
    assert run("disable", ADA).output == "Ada can no longer sign in.\n"
    assert ada().state == "disabled"
    assert run("enable", ADA).output == "Ada can sign in.\n"
    assert ada().state == "unverified"


def test_last_admin_cannot_be_demoted_or_disabled(run: Run) -> None:
    run("create", ADA, "--admin")
    with db.write() as session:
        session.execute(update(User).values(verified_at=utc_now()))
    for command in ("demote", "disable"):
        assert "last admin" in refused(run(command, ADA))
    assert (ada().role, ada().state) == ("admin", "active")


def test_reset_emails_a_link(run: Run) -> None:
    run("create", ADA)
    with db.write() as session:
        session.execute(update(User).values(password_hash="x"))
    assert "outbox" in run("reset", ADA).output
    assert [mail.template for mail in queue.list_recent_emails(place=Place(size=1))] == ["reset"]
    assert "disabled" in (run("disable", ADA) and refused(run("reset", ADA)))


@pytest.mark.parametrize("command", ["promote", "demote", "disable", "enable", "reset"])
@pytest.mark.parametrize("who", ["eve@example.org", "0123456789abcdef", "@", ""])
def test_unknown_account_is_refused_and_nothing_changes(run: Run, command: str, who: str) -> None:
    assert "account" in refused(run(command, who))
    assert audit.list_entries() == []


def test_first_admin_prints_a_link_until_an_admin_exists(run: Run) -> None:
    line = run("first-admin").output
    token = line.split()[3].rpartition("/")[2]
    assert line.startswith("First admin: open http://127.0.0.1:8000/auth/first-admin/")
    assert email_links.peek(token, Purpose.FIRST_ADMIN)
    run("create", ADA, "--admin")
    assert "There is already an admin" in refused(run("first-admin"))
