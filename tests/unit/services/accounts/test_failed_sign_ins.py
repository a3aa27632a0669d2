"""The limit of guesses at one password, and the record of how each attempt ended."""

from __future__ import annotations

import pytest

from church.errors import BusyError, FieldErrors
from church.observability.metrics import definitions
from church.services.accounts import failed_sign_ins
from church.services.accounts.failed_sign_ins import (
    CredentialsError,
    ThrottledError,
    WrongPasswordError,
    limit_guesses,
    record_attempt,
)
from church.services.email_links import LinkError
from tests.support.accounts_fixture import StubGate
from tests.support.helpers import captured_log, grows


def fail(error: BaseException) -> None:
    raise error


def attempt(error: BaseException) -> None:
    """An attempt that sets its outcome and then fails."""
    with record_attempt("login") as current:
        current.outcome = "failed_exists"
        fail(error)


@pytest.mark.parametrize(
    ("seconds", "wait"), [(1, "a minute"), (60, "a minute"), (61, "2 minutes"), (900, "15 minutes")]
)
def test_throttled_error_rounds_the_wait_up_to_minutes(seconds: int, wait: str) -> None:
    error = ThrottledError(seconds, "Too many.", "then go on")
    assert error.detail == f"Too many. Wait {wait}, then go on."
    assert error.retry_after == seconds


def test_make_throttled_error_counts_the_refusal() -> None:
    with grows(definitions.rate_limit_hits.labels("login_account")):
        assert failed_sign_ins.make_throttled_error(30).retry_after == 30
    with grows(definitions.rate_limit_hits.labels("confirmation")):
        assert failed_sign_ins.make_confirmations_error(30).retry_after == 30


def test_limit_guesses_refused_does_not_run_the_block() -> None:
    gate = StubGate(wait=9)
    with pytest.raises(ThrottledError), limit_guesses(gate):
        pytest.fail("a password was checked")
    assert gate.calls == ["refused"]


@pytest.mark.parametrize(
    ("error", "call"),
    [(WrongPasswordError(), "failed"), (CredentialsError(), "released"), (KeyboardInterrupt(), "released")],
)
def test_limit_guesses_counts_only_a_wrong_password(error: BaseException, call: str) -> None:
    gate = StubGate()
    with pytest.raises(type(error)), limit_guesses(gate):
        fail(error)
    assert gate.calls == ["refused", call]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (LinkError(), "failed_credentials"),
        (WrongPasswordError(), "failed_credentials"),
        (ThrottledError(5, "Too many.", "then go on"), "failed_throttled"),
        (FieldErrors({"email": "missing"}), "failed_validation"),
        (BusyError(), "failed_error"),
        (KeyboardInterrupt(), "failed_error"),
    ],
)
def test_record_attempt_error_decides_the_outcome(error: BaseException, outcome: str) -> None:
    with grows(definitions.auth_attempts.labels("login", outcome)), pytest.raises(type(error)):
        attempt(error)


def test_record_attempt_outcome_and_ref_are_those_of_the_block() -> None:
    with (
        captured_log() as log,
        grows(definitions.auth_attempts.labels("registration", "failed_exists")),
        record_attempt("registration") as current,
    ):
        current.outcome, current.user_ref = "failed_exists", "0123456789abcdef"
    assert [(record["outcome"], record["user_ref"]) for record in log.records] == [
        ("failed_exists", "0123456789abcdef")
    ]
