"""Answers that the forms of the accounts share."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response, jsonify

from church.blueprints.auth.form_answers import (
    bad_link_page,
    email_sent_response,
    next_page,
    read_form,
    request_device,
    show_again_on_error,
)
from church.errors import FieldErrors
from church.services.accounts import make_throttled_error
from church.services.email_links import LinkError
from tests.support.browsing import JSON, expect_attempt


def show(**context: Any) -> Response:
    """Answer with the context of a form, as JSON."""
    return jsonify(context)


def test_refused_form_is_shown_with_its_errors_and_only_the_named_fields(app: Flask) -> None:
    @show_again_on_error(show, "email")
    def refuse(token: str) -> Response:
        raise FieldErrors({"email": "Unknown."})

    with app.test_request_context(method="POST", data={"email": "ada", "password": "s3cret"}):
        answer = refuse(token="1.x")
    assert answer.status_code == 422
    assert answer.get_json() == {
        "token": "1.x", "values": {"email": "ada"}, "errors": {"email": "Unknown."}, "form_error": None
    }  # fmt: skip


def test_throttled_form_shows_the_error_above_the_fields_and_says_when_to_retry(app: Flask) -> None:
    @show_again_on_error(show)
    def refuse() -> Response:
        raise make_throttled_error(90)

    with app.test_request_context(method="POST"):
        answer = refuse()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "90")
    assert answer.get_json()["errors"] == {}
    assert "Wait 2 minutes" in answer.get_json()["form_error"]


def test_refused_form_of_an_api_client_raises_the_error(app: Flask) -> None:
    @show_again_on_error(show)
    def refuse() -> Response:
        raise FieldErrors({"email": "Unknown."})

    with app.test_request_context(method="POST", json={}, headers=JSON), pytest.raises(FieldErrors):
        refuse()


def test_missing_field_counts_as_a_failed_attempt_only_of_a_named_kind(app: Flask) -> None:
    for kind, outcome in (("reset", "failed_validation"), (None, None)):
        request = app.test_request_context(method="POST")
        with request, expect_attempt("reset", outcome), pytest.raises(FieldErrors), read_form(kind) as form:
            form.text("password")


def test_email_sent_answer_redirects_browsers_and_accepts_for_api_clients(app: Flask) -> None:
    with app.test_request_context():
        answer = email_sent_response("forgot", "We sent it.")
        assert (answer.status_code, answer.location) == (303, "/auth/sent/forgot")
    with app.test_request_context(headers=JSON):
        answer = email_sent_response("forgot", "We sent it.")
        assert (answer.status_code, answer.get_json()) == (202, {"detail": "We sent it."})


def test_invalid_link_is_an_error_for_api_clients(app: Flask) -> None:
    with app.test_request_context(headers=JSON), pytest.raises(LinkError):
        bad_link_page("auth/verify.html", "1.x")


@pytest.mark.parametrize(
    ("target", "page"), [("/pages/x?a=b", "/pages/x?a=b"), ("", "/auth/account"), ("//evil.example", "/auth/account")]
)
def test_next_page_is_the_account_unless_the_target_is_on_this_site(app: Flask, target: str, page: str) -> None:
    with app.test_request_context():
        assert next_page(target) == page


def test_device_without_an_address_is_unknown(app: Flask) -> None:
    with app.test_request_context(headers={"User-Agent": "Firefox"}, environ_base={"REMOTE_ADDR": ""}):
        assert (request_device().address, request_device().user_agent) == ("unknown", "Firefox")
