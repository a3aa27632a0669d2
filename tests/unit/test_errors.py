"""The site's own exceptions."""

from __future__ import annotations

from church.errors import (
    MESSAGES,
    BusyError,
    ConflictError,
    FieldErrors,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)


def test_busy_error_has_a_retry_after() -> None:
    assert (BusyError().status, BusyError().retry_after) == (503, 2)


def test_error_without_a_detail_has_the_text_of_its_status() -> None:
    assert str(NotFoundError()) == MESSAGES[404]
    assert NotFoundError().detail is None


def test_error_with_a_detail_has_it_as_its_text() -> None:
    error = ConflictError("The name is taken.")
    assert (str(error), error.detail, error.status) == ("The name is taken.", "The name is taken.", 409)


def test_outage_has_a_retry_after_that_the_caller_may_change() -> None:
    assert UnavailableError().retry_after == 5
    assert UnavailableError(retry_after=60).retry_after == 60
    assert ForbiddenError().retry_after is None


def test_field_errors_keep_a_message_for_each_field() -> None:
    error = FieldErrors({"email": "This is required."})
    assert (error.status, error.errors, str(error)) == (422, {"email": "This is required."}, MESSAGES[422])


def test_reason_is_the_name_of_the_class() -> None:
    assert BusyError("Try later.").reason == "BusyError"
