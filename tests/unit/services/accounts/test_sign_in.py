"""Sign-in with a password, and sign-out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import bcrypt
import pytest
from flask import Flask
from gevent import GreenletExit

from church.errors import BusyError
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import accounts, sessions
from church.services.accounts import passwords
from church.services.accounts import sign_in as accounts_sign_in
from church.services.accounts.failed_sign_ins import CredentialsError, ThrottledError
from church.services.audit import list_entries
from tests.support.accounts_fixture import (
    DEVICE,
    EMAIL,
    OTHER_PASSWORD,
    PASSWORD,
    StubGate,
    audited,
    change_user,
    member,
    register,
    signed_in,
    the_user,
)
from tests.support.helpers import captured_log, grows


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def attempts(outcome: str, kind: str = "login") -> object:
    return definitions.auth_attempts.labels(kind, outcome)


def sign_in(
    email: str = EMAIL, password: str = PASSWORD, gate: StubGate | None = None
) -> accounts_sign_in.SignInResult:
    return accounts.sign_in_with_password(email, password, DEVICE, gate or StubGate())


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What hash each password was checked against."""
    seen: list[str | None] = []
    real = passwords.check_password

    def watched(text: str, stored: str | None, sender: passwords.Sender) -> bool:
        seen.append(stored)
        return real(text, stored, sender)

    monkeypatch.setattr(passwords, "check_password", watched)
    return seen


@pytest.mark.parametrize("typed", [EMAIL, " ADA@Example.org "])
def test_sign_in_right_password_starts_a_session(typed: str) -> None:
    user = member()
    with grows(attempts("success")):
        found = sign_in(typed)
    assert found.user_ref == user.ref
    session = sessions.load(found.token)
    assert session is not None
    assert (session.user_id, session.verified) == (user.id, True)
    [entry] = list_entries(action="account.signed_in")
    assert entry.actor is not None
    assert (entry.actor.ref, entry.address) == (user.ref, DEVICE.address)


def test_sign_in_unverified_account_is_allowed() -> None:
    register()
    assert signed_in().verified is False


def test_sign_in_each_time_starts_a_session() -> None:
    member()
    assert sign_in().token != sign_in().token


def unknown() -> str:
    return "nobody@example.org"


def no_address() -> str:
    return "no address \0"


def disabled() -> str:
    change_user(member().id, disabled_at=utc_now())
    return EMAIL


def deleted() -> str:
    change_user(member().id, email=None, email_key=None, deleted_at=utc_now())
    return EMAIL


def passwordless() -> str:
    change_user(member().id, password_hash=None)
    return EMAIL


@pytest.mark.parametrize("address_of", [unknown, no_address, disabled, deleted, passwordless])
def test_sign_in_inactive_account_is_refused_like_a_wrong_password(
    address_of: Callable[[], str], checked: list[str | None]
) -> None:
    email = address_of()
    gate = StubGate()
    with grows(attempts("failed_credentials")), pytest.raises(CredentialsError) as refused:
        sign_in(email, gate=gate)
    member("bob@example.org")
    with pytest.raises(CredentialsError) as wrong:
        sign_in("bob@example.org", OTHER_PASSWORD)
    assert (refused.value.status, refused.value.detail) == (wrong.value.status, wrong.value.detail)
    assert checked[0] is None  # costs as much as a real hash
    assert len(checked) == 2
    assert gate.calls == ["refused", "failed"]


def test_sign_in_wrong_password_is_counted_by_the_gate() -> None:
    member()
    gate = StubGate()
    with grows(attempts("failed_credentials")), pytest.raises(CredentialsError):
        sign_in(password=PASSWORD[:-1], gate=gate)
    assert gate.calls == ["refused", "failed"]
    assert "account.signed_in" not in audited()


def test_sign_in_right_password_is_not_counted_by_the_gate() -> None:
    member()
    gate = StubGate(left=17)
    sign_in(gate=gate)
    assert gate.calls == ["refused", "succeeded"]


def test_sign_in_refused_by_the_gate_checks_no_password(checked: list[str | None]) -> None:
    member()
    throttled = definitions.security_events.labels("login_throttled", "medium")
    gate = StubGate(wait=17)
    with grows(attempts("failed_throttled")), grows(throttled), pytest.raises(ThrottledError) as refused:
        sign_in(gate=gate)
    assert (refused.value.status, refused.value.retry_after) == (429, 17)
    assert gate.calls == ["refused"]
    assert checked == []


def test_sign_in_wrong_password_without_tries_left_is_throttled() -> None:
    member()
    throttled = definitions.security_events.labels("login_throttled", "medium")
    gate = StubGate(left=17)
    with grows(attempts("failed_throttled")), grows(throttled), pytest.raises(ThrottledError) as refused:
        sign_in(password=OTHER_PASSWORD, gate=gate)
    assert refused.value.retry_after == 17
    assert gate.calls == ["refused", "failed"]


def test_sign_in_rehashes_a_hash_of_another_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    member()
    before = the_user().password_hash
    monkeypatch.setattr(passwords, "COST", 5)
    sign_in()
    after = the_user().password_hash
    assert after is not None
    assert after != before
    assert not passwords.needs_rehash(after)
    sign_in()
    assert the_user().password_hash == after


def test_sign_in_skips_the_rehash_while_hashing_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    member()
    before = the_user().password_hash

    def busy(*_: object) -> str:
        raise BusyError

    monkeypatch.setattr(passwords, "COST", 5)
    monkeypatch.setattr(passwords, "hash_password", busy)
    assert sign_in().token
    assert the_user().password_hash == before


def test_sign_in_while_hashing_is_busy_is_an_error_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    member()

    def busy(*_: object) -> bool:
        raise BusyError

    monkeypatch.setattr(passwords, "check_password", busy)
    gate = StubGate()
    with grows(attempts("failed_error")), pytest.raises(BusyError):
        sign_in(gate=gate)
    assert gate.calls == ["refused", "released"]


def test_sign_in_killed_is_an_error_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    member()

    def killed(*_: object) -> bool:
        raise GreenletExit

    monkeypatch.setattr(passwords, "check_password", killed)
    gate = StubGate()
    with grows(attempts("failed_error")), grows(attempts("success"), by=0), pytest.raises(GreenletExit):
        sign_in(gate=gate)
    assert gate.calls == ["refused", "released"]


@pytest.mark.parametrize("change", ["disabled", "password"])
def test_sign_in_account_changed_during_the_check_is_refused(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    user = member()
    other = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
    real = passwords.check_password

    def slow(text: str, stored: str | None, sender: passwords.Sender) -> bool:
        right = real(text, stored, sender)
        change_user(user.id, **({"disabled_at": utc_now()} if change == "disabled" else {"password_hash": other}))
        return right

    monkeypatch.setattr(passwords, "check_password", slow)
    gate = StubGate()
    with pytest.raises(CredentialsError):
        sign_in(gate=gate)
    assert gate.calls == ["refused", "released"]
    assert sessions.count_active() == 0


def test_sign_in_is_logged_with_ref_and_without_address() -> None:
    user = member()
    with captured_log() as log:
        sign_in()
        with pytest.raises(CredentialsError):
            sign_in(password=OTHER_PASSWORD)
        with pytest.raises(CredentialsError):
            sign_in("nobody@example.org")
    logged = [(record["outcome"], record.get("user_ref")) for record in log.records if record["event"] == "auth.login"]
    assert logged == [("success", user.ref), ("failed_credentials", user.ref), ("failed_credentials", None)]
    assert not any(b"example.org" in line or PASSWORD.encode() in line for line in log.lines)


def test_sign_in_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    member()
    names: list[str] = []
    monkeypatch.setattr(accounts_sign_in.telemetry, "span", lambda name: names.append(name) or nullcontext())
    sign_in()
    assert names == ["auth.login", "password.hash"]


def test_sign_out_ends_only_this_session() -> None:
    member()
    here, there = signed_in(), signed_in()
    with grows(attempts("success", "logout")):
        accounts.sign_out(here, DEVICE)
    assert sessions.load(here.token) is None
    assert sessions.load(there.token) is not None
    assert audited()[-1] == "account.signed_out"


def test_sign_out_of_an_ended_session_is_not_audited() -> None:
    member()
    here = signed_in()
    accounts.sign_out(here, DEVICE)
    accounts.sign_out(here, DEVICE)
    assert audited().count("account.signed_out") == 1
