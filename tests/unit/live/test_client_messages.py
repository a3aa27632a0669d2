"""Parse and check client messages field by field; build the frames of the site."""

from __future__ import annotations

import json

import pytest

from church.live import client_messages
from church.live.client_messages import ClientMessage, InvalidMessageError, parse_message


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[]", "1", "null", '{"type": 1}', "{}", '{"type": NaN}', "[" * 8000, '{"type": "\\ud800"}',
     '{"type": ' + "9" * 5000 + "}", '{"type": "chat", "message": "\\udc00"}'],
)  # fmt: skip
def test_message_that_is_not_an_object_with_a_type_is_invalid(text: str) -> None:
    with pytest.raises(InvalidMessageError):
        parse_message(text)


@pytest.mark.parametrize("value", [1, None, True, [], {"a": 1}])
def test_field_that_is_not_a_string_is_invalid(value: object) -> None:
    with pytest.raises(InvalidMessageError, match="message has to be a string"):
        ClientMessage("chat", {"message": value}).text("message")


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", 1 << 53, []])
def test_field_that_is_not_a_whole_number_is_invalid(value: object) -> None:
    with pytest.raises(InvalidMessageError, match="after has to be a whole number"):
        ClientMessage("history", {"after": value}).number("after")


def test_room_name_of_a_million_characters_is_invalid() -> None:
    with pytest.raises(InvalidMessageError):
        _ = ClientMessage("chat", {"room": "x" * 1_000_000}).room


def test_answer_repeats_only_valid_names_and_joined_rooms() -> None:
    said = ClientMessage("chat", {"room": "public", "client_id": "a1"})
    assert said.about(("public",)) == {"room": "public", "client_id": "a1"}
    assert said.about(()) == {"client_id": "a1"}
    assert ClientMessage("chat", {"room": ["public"], "client_id": "<b>" * 9}).about(("public",)) == {}


def test_frame_leaves_out_none_and_keeps_every_character() -> None:
    payload = client_messages.build_frame("notification", kind="page", title="Grüße 💙", url=None)[2:]
    assert json.loads(payload) == {"type": "notification", "kind": "page", "title": "Grüße 💙"}


def test_person_without_a_name_has_the_name_of_their_messages() -> None:
    assert client_messages.member_fields("0123456789abcdef", "", is_admin=False)["name"] == "Member 0123"
    assert client_messages.member_fields("0123456789abcdef", "Ada", is_admin=True) == {
        "ref": "0123456789abcdef", "name": "Ada", "admin": True,
    }  # fmt: skip
