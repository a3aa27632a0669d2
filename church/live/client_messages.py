"""The JSON messages of docs/live.md: parse and check what a client sends, build what the site sends."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NoReturn

from church.live.websocket_frames import text_frame
from church.services.chat import MessageView, shown_name

PROTOCOL: Final = 1
_LONGEST_NAME = 64
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class InvalidMessageError(Exception):
    """Invalid client message; ``detail`` is for the developer of the client."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ClientMessage:
    """One message of a client: its type (``kind``) and its fields, checked when they are read."""

    __slots__ = ("_fields", "kind")

    def __init__(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.kind = kind
        self._fields = fields

    def text(self, name: str) -> str:
        """Return a required string. Raises InvalidMessageError."""
        value = self._fields.get(name)
        if not isinstance(value, str):
            raise InvalidMessageError(f"{name} has to be a string")
        return value

    def optional(self, name: str) -> str | None:
        """Return an optional string. Raises InvalidMessageError for another type."""
        return None if self._fields.get(name) is None else self.text(name)

    def number(self, name: str) -> int | None:
        """Return an optional whole number from 0. Raises InvalidMessageError for another type."""
        value = self._fields.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53):
            raise InvalidMessageError(f"{name} has to be a whole number")
        return value

    def about(self, rooms: Collection[str]) -> dict[str, str]:
        """Return the fields that an answer repeats: room and client_id, if they are valid names.

        The room is repeated only if it is among ``rooms``.
        """
        fields = {"room": self._fields.get("room"), "client_id": self._fields.get("client_id")}
        if fields["room"] not in rooms:
            del fields["room"]
        return {name: value for name, value in fields.items() if isinstance(value, str) and _NAME.fullmatch(value)}

    @property
    def room(self) -> str:
        """The message's room name. Raises InvalidMessageError."""
        room = self.text("room")
        if len(room) > _LONGEST_NAME:
            raise InvalidMessageError("room name too long")
        return room


def parse_message(text: str) -> ClientMessage:
    """Parse a client's message. Raises InvalidMessageError unless it is a JSON object with a type, in valid Unicode."""
    try:
        fields = json.loads(text, parse_constant=_refuse)
        if "\\u" in text:
            text.encode()
            json.dumps(fields, ensure_ascii=False).encode()  # fails for half a character, such as \\ud800 alone
    except (ValueError, RecursionError):
        raise InvalidMessageError("a message is one JSON object") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise InvalidMessageError("a message is one JSON object with a type")
    return ClientMessage(fields["type"], fields)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def build_frame(kind: str, /, **fields: Any) -> bytes:
    """Build a frame with these fields; None values are left out."""
    message = {"type": kind, **{name: value for name, value in fields.items() if value is not None}}
    return text_frame(_encode(message).encode())


WELCOME: Final = build_frame("welcome", protocol=PROTOCOL)
PONG: Final = build_frame("pong")


def chat_frame(view: MessageView, client_id: str | None = None) -> bytes:
    """Build the frame of a chat message in its current state; pass ``client_id`` for its author only."""
    return build_frame(
        "chat",
        room=view.room,
        id=view.id,
        changed=view.changed,
        **{"from": member_fields(view.from_ref, view.from_name, is_admin=view.is_admin)},
        message=view.text,
        html=view.html,
        client_id=client_id,
        at=view.at.isoformat(),
        edited_at=view.edited_at.isoformat() if view.edited_at is not None else None,
        deleted=True if view.deleted else None,
    )


def presence_frame(room: str, people: Iterable[Mapping[str, Any]], count: int) -> bytes:
    """Build the frame that shows who is in a room: some of the members, and the number of all."""
    return build_frame("presence", room=room, members=list(people), count=count)


def member_fields(ref: str, name: str, *, is_admin: bool) -> dict[str, Any]:
    """Return a member as others see them; the name is the one shown everywhere."""
    shown = {"ref": ref, "name": shown_name(ref, name)}
    return {**shown, "admin": True} if is_admin else shown


def error_frame(code: str, detail: str, **about: Any) -> bytes:
    """Build an error frame for a message that failed."""
    return build_frame("error", code=code, detail=detail, **about)
