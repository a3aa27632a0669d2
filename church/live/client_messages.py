"""The frames of docs/live.md: what a client may say, checked, and what the site says, encoded once."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NoReturn

from church.live.websocket_frames import text_frame
from church.services.chat.presenters import MessageView, shown_name

PROTOCOL: Final = 1
_LONGEST_NAME = 64
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class WordsError(Exception):
    """A frame that makes no sense; ``detail`` is for whoever wrote the client."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Said:
    """What a client said: its type, and its fields, each asked for by what it has to be."""

    __slots__ = ("_fields", "kind")

    def __init__(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.kind = kind
        self._fields = fields

    def text(self, name: str) -> str:
        """A text that has to be there. Raises WordsError."""
        value = self._fields.get(name)
        if not isinstance(value, str):
            raise WordsError(f"{name} has to be a text")
        return value

    def optional(self, name: str) -> str | None:
        """A text that may be missing. Raises WordsError for anything else."""
        return None if self._fields.get(name) is None else self.text(name)

    def number(self, name: str) -> int | None:
        """A whole number from 0 that may be missing. Raises WordsError for anything else."""
        value = self._fields.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53):
            raise WordsError(f"{name} has to be a whole number")
        return value

    def about(self, rooms: Collection[str]) -> dict[str, str]:
        """What an answer repeats, so that the client knows what it is about: what is surely a name, and no more."""
        found = {"room": self._fields.get("room"), "client_id": self._fields.get("client_id")}
        if found["room"] not in rooms:
            del found["room"]
        return {name: value for name, value in found.items() if isinstance(value, str) and _NAME.fullmatch(value)}

    @property
    def room(self) -> str:
        """The room that it is about. Raises WordsError."""
        found = self.text("room")
        if len(found) > _LONGEST_NAME:
            raise WordsError("no room is called so")
        return found


def read(text: str) -> Said:
    """What a frame says. Raises WordsError for anything but an object with a type, and for text that is none."""
    try:
        found = json.loads(text, parse_constant=_refuse)
        if "\\u" in text:
            text.encode()
            json.dumps(found, ensure_ascii=False).encode()  # half a character, as \\ud800 alone, is no text
    except (ValueError, RecursionError):
        raise WordsError("a frame is one JSON object") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise WordsError("a frame is one JSON object with a type")
    return Said(found["type"], found)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def frame(kind: str, /, **fields: Any) -> bytes:
    """A frame with these fields; those that are None are left out."""
    said = {"type": kind, **{name: value for name, value in fields.items() if value is not None}}
    return text_frame(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode())


WELCOME: Final = frame("welcome", protocol=PROTOCOL)
PONG: Final = frame("pong")


def chat(view: MessageView, client_id: str | None = None) -> bytes:
    """A message in its present state; ``client_id`` is for its author alone."""
    return frame(
        "chat",
        room=view.room,
        id=view.id,
        changed=view.changed,
        **{"from": person(view.from_ref, view.from_name, is_admin=view.is_admin)},
        message=view.text,
        html=view.html,
        client_id=client_id,
        at=view.at.isoformat(),
        edited_at=view.edited_at.isoformat() if view.edited_at is not None else None,
        deleted=True if view.deleted else None,
    )


def presence(room: str, people: Iterable[Mapping[str, Any]], count: int) -> bytes:
    """Who is in a room: some of them, and how many there are."""
    return frame("presence", room=room, members=list(people), count=count)


def person(ref: str, name: str, *, is_admin: bool) -> dict[str, Any]:
    """Somebody, as others see them: by the same name wherever they are shown."""
    shown = {"ref": ref, "name": shown_name(ref, name)}
    return {**shown, "admin": True} if is_admin else shown


def error(code: str, detail: str, **about: Any) -> bytes:
    """What was asked for was not done."""
    return frame("error", code=code, detail=detail, **about)
