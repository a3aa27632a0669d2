"""What clients may say is checked field by field; what the site says is text that anybody can read."""

from __future__ import annotations

import json

import pytest

from church.live import client_messages
from church.live.client_messages import Said, WordsError, read


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[]", "1", "null", '{"type": 1}', "{}", '{"type": NaN}', "[" * 8000, '{"type": "\\ud800"}',
     '{"type": ' + "9" * 5000 + "}", '{"type": "chat", "message": "\\udc00"}'],
)  # fmt: skip
def test_frame_that_is_no_object_with_a_type_is_refused(text: str) -> None:
    with pytest.raises(WordsError):
        read(text)


@pytest.mark.parametrize("value", [1, None, True, [], {"a": 1}])
def test_text_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(WordsError, match="message has to be a string"):
        Said("chat", {"message": value}).text("message")


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", 1 << 53, []])
def test_number_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(WordsError, match="after has to be a whole number"):
        Said("history", {"after": value}).number("after")


def test_room_of_a_million_characters_is_refused() -> None:
    with pytest.raises(WordsError):
        _ = Said("chat", {"room": "x" * 1_000_000}).room


def test_answer_repeats_names_alone_and_only_rooms_that_the_client_is_in() -> None:
    said = Said("chat", {"room": "public", "client_id": "a1"})
    assert said.about(("public",)) == {"room": "public", "client_id": "a1"}
    assert said.about(()) == {"client_id": "a1"}
    assert Said("chat", {"room": ["public"], "client_id": "<b>" * 9}).about(("public",)) == {}


def test_frame_leaves_out_what_is_none_and_keeps_every_character() -> None:
    payload = client_messages.frame("notification", kind="page", title="Grüße 💙", url=None)[2:]
    assert json.loads(payload) == {"type": "notification", "kind": "page", "title": "Grüße 💙"}


def test_person_without_a_name_is_called_as_their_messages_call_them() -> None:
    assert client_messages.person("0123456789abcdef", "", is_admin=False)["name"] == "Member 0123"
    assert client_messages.person("0123456789abcdef", "Ada", is_admin=True) == {
        "ref": "0123456789abcdef", "name": "Ada", "admin": True,
    }  # fmt: skip
