"""Changes of other accounts by admins, and protection of the last admin and of one's own account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from church.database.paging import Place
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models.accounts import Role, User
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import audit, email_links, sessions
from church.services.accounts import members
from church.services.accounts.members import MemberState, UnknownMemberError
from church.services.audit import Actor
from tests.support.accounts_fixture import DEVICE, audited, change_user, mailed_token, mails, the_user
from tests.support.helpers import captured_log, grows
from tests.support.people import add_user, sign_in

CONSOLE = Actor(via="cli")
DISABLED_AT = datetime(2026, 5, 3, 12, tzinfo=UTC)


@pytest.fixture
def ada(at_work: Flask) -> User:
    return made(at_work, "ada@church.example")


@pytest.fixture
def boss(at_work: Flask) -> User:
    return made(at_work, "boss@church.example", role="admin", name="Boss")


def made(app: Flask, email: str, **changes: Any) -> User:
    """An account whose hash matches no password, because real hashes are slow."""
    return add_user(app, email, password_hash="x", **changes)


def by(user: User) -> Actor:
    return Actor(user.id, "web", "192.0.2.1")


def last_entry() -> audit.AuditView:
    return audit.list_entries(place=Place(size=1))[0]


def role_of(token: str) -> str:
    found = sessions.load(token)
    assert found is not None
    return found.role


# -- create -----------------------------------------------------------------------------------------------------------


def test_create_makes_an_account_without_password_and_mails_a_link_for_one(at_work: Flask) -> None:
    with grows(definitions.user_registrations.labels("cli")):
        found = members.create_account(" Grace@Church.example", "  Grace\tHopper ", Role.ADMIN, CONSOLE)
    assert (found.name, found.email, found.role) == ("Grace Hopper", "Grace@church.example", "admin")
    assert (found.state, found.has_password, found.source) == (MemberState.UNVERIFIED, False, "cli")
    assert [(mail.template, mail.recipient) for mail in mails()] == [("invited", "Grace@church.example")]
    token = mailed_token("invited", "Grace@church.example")
    assert email_links.peek(token, email_links.Purpose.RESET) is not None
    entry = last_entry()
    assert (entry.action, entry.via, entry.detail) == ("member.created", "cli", {"role": "admin"})


def test_create_with_an_address_that_has_an_account_changes_nothing(at_work: Flask, ada: User) -> None:
    with pytest.raises(ConflictError, match="address already has an account"):
        members.create_account("ADA@church.example", "Another", Role.ADMIN, CONSOLE)
    assert len(members.search_accounts().members) == 1
    assert the_user("ada@church.example").role == "member"
    assert (audited(), mails()) == ([], [])


@pytest.mark.parametrize(("email", "name", "field"), [("nobody", "Ada", "email"), ("a@b.example", "x" * 81, "name")])
def test_create_invalid_address_or_name_is_a_field_error(at_work: Flask, email: str, name: str, field: str) -> None:
    with pytest.raises(FieldErrors) as error:
        members.create_account(email, name, Role.MEMBER, CONSOLE)
    assert list(error.value.errors) == [field]
    assert members.search_accounts().members == []


# -- roles ----------------------------------------------------------------------------------------------------------


def test_promotion_and_demotion_are_written_to_the_audit_log_and_the_log(at_work: Flask, ada: User, boss: User) -> None:
    with captured_log() as log:
        assert members.set_role(ada.ref, Role.ADMIN, by(boss)).role == "admin"
    entry = last_entry()
    assert entry.subject is not None
    assert entry.actor is not None
    assert (entry.action, entry.actor.ref, entry.subject.ref) == ("member.promoted", boss.ref, ada.ref)
    assert (entry.detail, entry.address) == ({"before": "member"}, "192.0.2.1")
    assert [(r["event"], r["subject_ref"]) for r in log.records] == [("member.promoted", ada.ref)]
    assert members.set_role(ada.ref, Role.MEMBER, by(boss)).role == "member"
    assert audited() == ["member.promoted", "member.demoted"]


def test_set_role_same_role_changes_nothing(at_work: Flask, ada: User, boss: User) -> None:
    members.set_role(boss.ref, Role.ADMIN, by(boss))
    members.set_role(ada.ref, Role.MEMBER, by(boss))
    assert audited() == []


def test_demoted_admin_loses_the_role_in_open_sessions_at_once(at_work: Flask, ada: User, boss: User) -> None:
    token = sign_in(at_work, ada)
    members.set_role(ada.ref, Role.ADMIN, by(boss))
    assert role_of(token) == "admin"
    members.set_role(ada.ref, Role.MEMBER, by(boss))
    assert role_of(token) == "member"


# -- the last admin -------------------------------------------------------------------------------------------------

COSTLY: list[Callable[..., object]] = [
    lambda ref, who: members.set_role(ref, Role.MEMBER, who, own=True),
    lambda ref, who: members.disable_account(ref, who, own=True),
]


@pytest.mark.parametrize("change", COSTLY, ids=["demote", "disable"])
@pytest.mark.parametrize("other", [None, {"verified": False}, {"disabled_at": DISABLED_AT}, {"role": "member"}])
def test_last_admin_who_can_sign_in_stays(
    at_work: Flask, boss: User, change: Callable[..., object], other: dict[str, Any] | None
) -> None:
    if other is not None:
        made(at_work, "other@church.example", **{"role": "admin", **other})
    for who in (by(boss), CONSOLE):
        with pytest.raises(ConflictError, match="last admin"):
            change(boss.ref, who)
    found = members.load_member(boss.ref)
    assert (found.role, found.state) == ("admin", MemberState.ACTIVE)
    assert audited() == []


@pytest.mark.parametrize("change", COSTLY, ids=["demote", "disable"])
def test_admin_can_be_removed_while_another_stays(at_work: Flask, boss: User, change: Callable[..., object]) -> None:
    made(at_work, "other@church.example", role="admin")
    change(boss.ref, CONSOLE)
    assert len(audited()) == 1


@pytest.mark.parametrize("change", [members.disable_account, lambda ref, who: members.set_role(ref, Role.MEMBER, who)])
def test_own_admin_role_needs_confirmation(at_work: Flask, boss: User, change: Callable[..., object]) -> None:
    made(at_work, "other@church.example", role="admin")
    with pytest.raises(ConflictError, match="your own account"):
        change(boss.ref, by(boss))
    assert members.load_member(boss.ref).state is MemberState.ACTIVE
    assert audited() == []


# -- disable and enable -----------------------------------------------------------------------------------------------


def test_disabled_account_is_signed_out_everywhere_and_stays_so(at_work: Flask, ada: User, boss: User) -> None:
    tokens = [sign_in(at_work, ada), sign_in(at_work, ada, DEVICE)]
    assert all(sessions.load(token) for token in tokens)
    assert members.disable_account(ada.ref, by(boss)).state is MemberState.DISABLED
    assert [sessions.load(token) for token in tokens] == [None, None]
    assert last_entry().detail == {"sessions": 2}
    assert members.enable_account(ada.ref, by(boss)).state is MemberState.ACTIVE
    assert [sessions.load(token) for token in tokens] == [None, None]
    assert audited() == ["member.disabled", "member.enabled"]


def test_disable_and_enable_twice_change_nothing(at_work: Flask, ada: User, boss: User) -> None:
    members.enable_account(ada.ref, by(boss))
    assert audited() == []
    first = members.disable_account(ada.ref, by(boss))
    assert members.disable_account(ada.ref, by(boss)).disabled_at == first.disabled_at
    assert audited() == ["member.disabled"]


def test_end_sessions_counts_them_and_keeps_those_of_others(at_work: Flask, ada: User, boss: User) -> None:
    mine, theirs = sign_in(at_work, boss), [sign_in(at_work, ada) for _ in range(3)]
    assert members.end_sessions(ada.ref, by(boss)) == 3
    assert sessions.load(mine) is not None
    assert [sessions.load(token) for token in theirs] == [None] * 3
    assert members.end_sessions(ada.ref, by(boss)) == 0
    assert audited() == ["member.sessions_ended"]


# -- emails -----------------------------------------------------------------------------------------------------------


def test_send_reset_emails_a_link_and_keeps_the_password(at_work: Flask, ada: User, boss: User) -> None:
    members.send_reset(ada.ref, by(boss))
    assert [mail.template for mail in mails()] == ["reset"]
    assert the_user("ada@church.example").password_hash == ada.password_hash
    assert email_links.peek(mailed_token("reset", "ada@church.example"), email_links.Purpose.RESET) is not None
    assert audited() == ["member.reset_sent"]


def test_send_reset_too_often_is_refused_and_keeps_the_last_link(at_work: Flask, ada: User, boss: User) -> None:
    for _ in range(5):
        members.send_reset(ada.ref, by(boss))
    with pytest.raises(ConflictError, match="in the last hour"):
        members.send_reset(ada.ref, by(boss))
    assert len(mails()) == len(audited()) == 5
    assert email_links.peek(mailed_token("reset", "ada@church.example"), email_links.Purpose.RESET) is not None


def test_send_reset_disabled_account_is_refused(at_work: Flask, ada: User, boss: User) -> None:
    change_user(ada.id, disabled_at=utc_now())
    with pytest.raises(ConflictError, match="disabled"):
        members.send_reset(ada.ref, by(boss))
    assert (mails(), audited()) == ([], [])


# -- deleted and unknown accounts -------------------------------------------------------------------------------------

CHANGES: list[Callable[..., object]] = [
    lambda ref: members.set_role(ref, Role.ADMIN, CONSOLE),
    lambda ref: members.set_role(ref, Role.MEMBER, CONSOLE),
    lambda ref: members.disable_account(ref, CONSOLE),
    lambda ref: members.enable_account(ref, CONSOLE),
    lambda ref: members.end_sessions(ref, CONSOLE),
    lambda ref: members.send_reset(ref, CONSOLE),
]


@pytest.mark.parametrize("change", CHANGES)
def test_deleted_account_cannot_be_changed(at_work: Flask, ada: User, change: Callable[..., object]) -> None:
    change_user(ada.id, email=None, email_key=None, name="", deleted_at=utc_now())
    with pytest.raises(ConflictError, match="deleted"):
        change(ada.ref)
    assert audited() == []


@pytest.mark.parametrize("look", [*CHANGES, members.load_member, members.load_account_details])
@pytest.mark.parametrize("ref", ["0123456789abcdef", "", "a\x00b", "'; --", "%"])
def test_unknown_ref_is_not_found(at_work: Flask, ada: User, look: Callable[..., object], ref: str) -> None:
    with pytest.raises(UnknownMemberError):
        look(ref)


def test_dossier_has_devices_and_audit_entries_of_this_account_only(at_work: Flask, ada: User, boss: User) -> None:
    sign_in(at_work, ada)
    members.set_role(ada.ref, Role.ADMIN, by(boss))
    members.end_sessions(boss.ref, CONSOLE)
    members.set_role(ada.ref, Role.MEMBER, by(boss))
    found = members.load_account_details(ada.ref)
    assert found.member.label == "Ada"
    assert [device.label for device in found.devices] == ["Firefox on Linux"]
    assert [entry.action for entry in found.history] == ["member.demoted", "member.promoted"]


def test_audit_entry_and_change_commit_together(
    at_work: Flask, ada: User, boss: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: object, **_details: object) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr(audit, "record_by", fails)
    with pytest.raises(RuntimeError, match="no audit"):
        members.disable_account(ada.ref, by(boss))
    with db.read() as session:
        assert session.get_one(User, ada.id).disabled_at is None
