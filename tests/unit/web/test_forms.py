"""Reading forms and JSON objects, and refusing anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask, jsonify
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import UnsupportedMediaType

from church.errors import FieldErrors, InvalidError
from church.web.forms import Fields, read_fields, safe_next
from tests.support.helpers import add_view

JSON = "application/json"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    def view() -> ResponseReturnValue:
        found = read_fields()
        values = {"name": found.text("name", 10), "note": found.text("note", required=False), "all": found.flag("all")}
        found.check()
        return jsonify(values)

    add_view(app, "/read", view, methods=["PUT"])
    return app.test_client()


def test_form_and_json_of_the_same_fields_are_read_alike(client: FlaskClient) -> None:
    sent = {"name": " Ada ", "note": "x"}
    expected = {"name": " Ada ", "note": "x", "all": False}
    assert client.put("/read", data=sent).json == expected
    assert client.put("/read", json=sent).json == expected
    assert client.put("/read", data=sent, content_type="multipart/form-data").json == expected


def test_field_sent_more_than_once_counts_by_its_first_value(client: FlaskClient) -> None:
    assert client.put("/read", data={"name": ["first", "second"]}).json["name"] == "first"  # type: ignore[index]
    twice = '{"name": "first", "name": "second"}'
    assert client.put("/read", data=twice, content_type=JSON).json["name"] == "first"  # type: ignore[index]


def test_query_and_unknown_fields_are_ignored(client: FlaskClient) -> None:
    answer = client.put("/read?name=query&note=query", data={"name": "form", "role": "admin"})
    assert answer.json == {"name": "form", "note": "", "all": False}


@pytest.mark.parametrize(
    ("sent", "ticked"),
    [({"all": v}, True) for v in ("1", "on", "TRUE", "yes", True, 1)]
    + [({"all": v}, False) for v in ("0", "", "off", "2", False, 0, 2, None)]
    + [({}, False)],
)
def test_flag_is_on_for_the_values_of_forms_and_json(sent: dict[str, Any], ticked: bool) -> None:
    assert Fields(sent).flag("all") is ticked


def test_errors_of_all_fields_are_reported_together(client: FlaskClient) -> None:
    answer = client.put("/read", json={"name": "x" * 11, "note": "y" * 321})
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    problem = answer.get_json(force=True)
    assert problem["status"] == 422
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["errors"] == {
        "name": "This is too long. Use at most 10 characters.",
        "note": "This is too long. Use at most 320 characters.",
    }


@pytest.mark.parametrize("sent", [{}, {"name": ""}, {"name": " \t\n"}, {"name": None}])
def test_field_required_and_empty_is_reported(sent: dict[str, Any]) -> None:
    found = Fields(sent)
    found.text("name")
    with pytest.raises(FieldErrors) as raised:
        found.check()
    assert raised.value.errors == {"name": "Fill this in."}


@pytest.mark.parametrize("value", [["a"], {"a": "b"}, 1, 1.5, True, False, [], {}])
def test_text_of_another_type_is_refused_with_400(client: FlaskClient, value: Any) -> None:
    answer = client.put("/read", json={"name": value})
    assert answer.status_code == 400
    assert answer.get_json(force=True)["detail"] == "“name” must be text."


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "a\udfffb"])
def test_text_that_databases_cannot_store_is_refused_with_400(client: FlaskClient, text: str) -> None:
    assert client.put("/read", data=json.dumps({"name": text}), content_type=JSON).status_code == 400
    with pytest.raises(InvalidError):
        Fields({"all": text}).flag("all")


def test_nul_in_a_form_is_refused_with_400(client: FlaskClient) -> None:
    assert client.put("/read", data="name=a%00b", content_type="application/x-www-form-urlencoded").status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        "[]", "null", '"name"', "1", "{", '{"name": "a"', "name=a", '{"name": NaN}', '{"other": Infinity}',
        '{"other": -Infinity}', b'{"name": "\xff"}', "﻿{}", "1" * 5000, '{"a": ' + "1" * 5000 + "}",
    ],
)  # fmt: skip
def test_body_that_is_not_a_json_object_is_refused_with_400(client: FlaskClient, body: str | bytes) -> None:
    raw = body.encode() if isinstance(body, str) else body
    assert client.put("/read", data=raw, content_type=JSON).status_code == 400


@pytest.mark.parametrize("opening", ['{"a":', "["])
@pytest.mark.parametrize("scanned", [True, False])
def test_json_nested_too_deep_is_refused_with_400(app: Flask, opening: str, scanned: bool) -> None:
    if scanned:
        add_view(app, "/deep", lambda: jsonify(read_fields().text("a")), methods=["PUT"])
        assert app.test_client().put("/deep", data=opening * 100_000, content_type=JSON).status_code == 400
        return
    with (
        app.test_request_context("/", method="PUT", data=opening * 100_000, content_type=JSON),
        pytest.raises(InvalidError),
    ):
        read_fields()


def test_empty_json_body_is_an_empty_object(app: Flask) -> None:
    with app.test_request_context("/", method="POST", data=" ", content_type=JSON):
        assert read_fields().text("name", required=False) == ""


def test_body_of_another_type_is_refused(app: Flask) -> None:
    with (
        app.test_request_context("/", method="POST", data='{"name": "a"}', content_type="text/plain"),
        pytest.raises(UnsupportedMediaType),
    ):
        read_fields()


def test_megabyte_in_a_field_is_refused_without_an_echo(client: FlaskClient) -> None:
    answer = client.put("/read", json={"name": "x" * 1_000_000})
    assert answer.status_code == 422
    assert len(answer.data) < 1000


def test_shown_values_are_bounded_text_only() -> None:
    found = Fields({"email": "a@b", "name": "n" * 1000, "next": ["/"], "note": "\0"})
    shown = found.shown("email", "name", "next", "note", "absent")
    assert shown == {"email": "a@b", "name": "n" * 320, "next": "", "note": "", "absent": ""}


@pytest.mark.parametrize("address", ["/", "/pages/", "/pages/x?q=a&b=c#d", "/é", "/a//b", "/pages/a%20b"])
def test_next_path_on_this_site_is_accepted(address: str) -> None:
    assert safe_next(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "", "pages", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/a\\b",
        "/\t/evil.example", "/\n/evil.example", "/\r\nSet-Cookie: a=b", " /", "https://evil.example/",
        "https:evil.example", "javascript:alert(1)", "data:text/html,x", "/\u2028", "\0/", "http:///evil.example",
        "@evil.example", ".evil.example", "?next=//x",
    ],
)  # fmt: skip
def test_next_address_elsewhere_is_refused(address: str) -> None:
    assert safe_next(address) is None
