"""Error answers for people and programs: one shape, a request ID, and never the cause."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, abort, request
from flask.testing import FlaskClient

from church.errors import ChurchError, ForbiddenError, InvalidError, UnauthorizedError, UnavailableError
from church.observability.metrics import definitions
from tests.support.helpers import BY_PROXY, add_view, captured_log, grows

JSON = {"Accept": "application/json"}


@pytest.fixture
def app(app: Flask) -> Flask:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


def fails_with(app: Flask, error: Exception | int) -> FlaskClient:
    def view() -> str:
        if isinstance(error, int):
            abort(error)
        raise error

    add_view(app, "/fails", view, methods=["GET", "POST"])
    return app.test_client()


def test_error_for_a_browser_is_a_page_with_the_request_id(client: FlaskClient) -> None:
    answer = client.get(
        "/nowhere", headers={"Accept": "text/html,*/*;q=0.8", "X-Request-ID": "my-id.7"}, environ_overrides=BY_PROXY
    )
    assert answer.status_code == 404
    assert answer.mimetype == "text/html"
    assert "my-id.7" in answer.text
    assert "There is nothing at this address." in answer.text
    assert answer.headers["X-Request-ID"] == "my-id.7"
    assert answer.headers["Cache-Control"] == "no-store"


def test_error_for_a_program_is_problem_json_with_the_request_id(client: FlaskClient) -> None:
    answer = client.get("/nowhere", headers={**JSON, "X-Request-ID": "my-id.7"}, environ_overrides=BY_PROXY)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    problem = answer.get_json(force=True)
    assert problem.pop("detail").startswith("There is nothing")
    assert problem == {"type": "about:blank", "status": 404, "title": "Not Found", "request_id": "my-id.7"}


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        (None, "text/html"),
        ("", "text/html"),
        ("*/*", "text/html"),
        ("image/png", "text/html"),
        ("text/html, application/json", "text/html"),
        ("application/json;q=0.8, text/html;q=0.9", "text/html"),
        ("application/json;q=0", "text/html"),
        ("application/json", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
        ("application/json;q=0.9, text/html;q=0.8", "application/problem+json"),
        ("application/json, */*;q=0.1", "application/problem+json"),
    ],
)
def test_error_has_the_format_that_the_client_prefers(client: FlaskClient, accept: str | None, mimetype: str) -> None:
    answer = client.get("/nowhere", headers={} if accept is None else {"Accept": accept})
    assert answer.mimetype == mimetype


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_view_that_raises_is_a_500_without_details(app: Flask, accept: str) -> None:
    client = fails_with(app, KeyError("hunter2-cause"))
    answer = client.get("/fails", headers={"Accept": accept})
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] in answer.text
    for hidden in ("hunter2", "KeyError", "Traceback", "fails_with", ".py"):
        assert hidden not in answer.text


def test_view_that_raises_is_logged_once_with_its_trace_and_request_id(app: Flask) -> None:
    client = fails_with(app, KeyError("the cause"))
    unexpected = definitions.security_events.labels("unexpected_error", "low")
    with captured_log() as sink, grows(unexpected):
        client.get("/fails", headers={"X-Request-ID": "my-id.7"}, environ_overrides=BY_PROXY, buffered=True)
    errors = [record for record in sink.records if record["level"] == "ERROR"]
    assert len(errors) == 1
    assert errors[0]["event"] == "error.unexpected"
    assert errors[0]["request_id"] == "my-id.7"
    assert "KeyError: 'the cause'" in errors[0]["exception"]
    assert [r["status"] for r in sink.records if r["event"] == "http.request"] == [500]


def test_abort_500_is_the_same_page(app: Flask) -> None:
    with captured_log() as sink:
        answer = fails_with(app, 500).get("/fails")
    assert answer.status_code == 500
    assert "Something went wrong on our side." in answer.text
    assert [r["event"] for r in sink.records if r["level"] == "ERROR"] == ["error.unexpected"]


def test_method_not_allowed_lists_the_allowed_ones(client: FlaskClient) -> None:
    answer = client.post("/health", headers=JSON)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "OPTIONS"}
    assert answer.get_json(force=True)["title"] == "Method Not Allowed"


def test_body_that_is_too_large_is_a_413(app: Flask) -> None:
    add_view(app, "/echo", lambda: request.get_data(as_text=True), methods=["POST"])
    most = app.config["MAX_CONTENT_LENGTH"]
    answer = app.test_client().post("/echo", data=b"x" * (most + 1), headers=JSON)
    assert answer.status_code == 413
    assert answer.get_json(force=True)["detail"] == "This is larger than the site accepts."


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (InvalidError("No such thing."), 400, None),
        (UnauthorizedError("No such thing."), 401, None),
        (ForbiddenError("No such thing."), 403, None),
        (UnavailableError("No such thing."), 503, "5"),
        (UnavailableError("No such thing.", retry_after=90), 503, "90"),
        (UnavailableError("No such thing.", retry_after=None), 503, None),
    ],
)
def test_church_error_has_its_status_detail_and_retry_after(
    app: Flask, error: Exception, status: int, retry_after: str | None
) -> None:
    client = fails_with(app, error)
    for headers in ({}, JSON):
        answer = client.get("/fails", headers=headers)
        assert answer.status_code == status
        assert "No such thing." in answer.text
        assert answer.headers.get("Retry-After") == retry_after
        assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)


def test_unavailable_error_is_logged_as_a_warning_with_its_type(app: Flask) -> None:
    client = fails_with(app, UnavailableError("hunter2"))
    with captured_log() as sink:
        client.get("/fails")
    found = [record for record in sink.records if record["event"] == "error.unavailable"]
    assert [(record["level"], record["reason"]) for record in found] == [("WARNING", "UnavailableError")]


def test_church_error_500_is_logged_as_an_error_with_its_cause(app: Flask) -> None:
    error = ChurchError("hunter2")
    error.__cause__ = LookupError("the cause")
    with captured_log() as sink:
        assert fails_with(app, error).get("/fails").status_code == 500
    found = [record for record in sink.records if record["event"].startswith("error.")]
    assert [(r["event"], r["level"], r["reason"]) for r in found] == [("error.failed", "ERROR", "LookupError")]


@pytest.mark.parametrize("path", ["//health", "/he/", "/static//css/site.css"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:99"])
def test_redirect_of_a_path_stays_here_whatever_the_host_header(app: Flask, path: str, host: str) -> None:
    add_view(app, "/he/<name>", lambda name: name)
    add_view(app, "/he", lambda: "he", strict_slashes=False)
    answer = app.test_client().get(path, headers={"Host": host})
    assert "evil" not in answer.headers.get("Location", "")
    assert answer.headers.get("Location", "/").startswith("/")


def test_redirect_for_a_missing_slash_leads_to_the_path_of_this_site(app: Flask) -> None:
    add_view(app, "/folder/", lambda: "in")
    answer = app.test_client().get("/folder?a=b", headers={"Host": "evil.example"})
    assert answer.status_code == 308
    assert answer.headers["Location"] == "/folder/?a=b"
    assert "evil" not in answer.text


@pytest.mark.parametrize("path", ["//evil.example/%2e%2e", "///evil.example/", "/\\evil.example/"])
def test_redirect_never_leads_to_a_host_in_the_path(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert not answer.headers.get("Location", "/").startswith(("//", "/\\", "http"))


def test_error_page_needs_no_database(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: Any) -> None:
        raise AssertionError("an error page asked the database")

    monkeypatch.setattr("church.database.Database._read", down)
    monkeypatch.setattr("church.database.Database.probe", down)
    add_view(app, "/fails/<int:code>", abort)
    client = app.test_client()
    for status in (400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503):
        answer = client.get(f"/fails/{status}")
        assert answer.status_code == status
        assert answer.headers["X-Request-ID"] in answer.text


def test_church_error_below_500_is_not_logged(app: Flask) -> None:
    client = fails_with(app, InvalidError("No such thing."))
    with captured_log() as sink:
        client.get("/fails", buffered=True)
    assert {record["level"] for record in sink.records} == {logging.getLevelName(logging.INFO)}
