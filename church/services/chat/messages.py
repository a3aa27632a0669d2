"""Send and edit chat messages, and check their text."""

from __future__ import annotations

import re
from collections.abc import Callable

from church.errors import UnauthorizedError
from church.extensions import db
from church.models.base import plain, utc_now
from church.services import sessions
from church.services.chat import history, rooms
from church.services.chat.change_log import Change, lock_author_and_room, lock_message, publish_change
from church.services.chat.errors import NotYoursError, TextError
from church.services.chat.posting_limits import count_post, give_back_post, refuse_post, try_to_count_post
from church.services.chat.presenters import MessageView
from church.services.chat.store_posts import Post, Stored, publish_post
from church.services.sessions import SignedIn


def post_message(signed_in: SignedIn, room: str, text: str, client_id: str | None) -> MessageView:
    """Send a message to a room; returns it, or the earlier one. Raises what ``store_message`` raises."""
    return store_message(signed_in, room, text, client_id).view


def store_message(
    signed_in: SignedIn,
    room: str,
    text: str,
    client_id: str | None,
    inspect: Callable[[str], object] = lambda _text: None,
    *,
    is_unchecked: bool = False,
) -> Stored:
    """Send a message to a room. A repeated ``client_id`` returns the earlier message, whatever the text.

    ``inspect`` gets the text after the rate limit has been checked, and may raise an error to refuse it.
    ``is_unchecked``: the session of ``signed_in`` may have ended; it is checked in the transaction that stores.
    Raises UnauthorizedError, TextError, UnknownRoomError, ClosedRoomError, BannedError, MutedError, RateLimitedError.
    """
    text, client_id = clean_text(text), check_client_id(client_id)
    seconds = try_to_count_post(signed_in)
    if seconds is not None:
        member = _load_again(signed_in) if is_unchecked else signed_in
        earlier = _find_repeated(member, room, client_id) or refuse_post(seconds)
        return Stored(earlier, is_new=False)
    inspect(text)
    stored = publish_post(Post(signed_in, room, text, client_id, is_unchecked))
    if not stored.is_new:
        give_back_post(signed_in)
    return stored


def _load_again(signed_in: SignedIn) -> SignedIn:
    member = sessions.load_ref(signed_in.session_ref, signed_in.ref)
    if member is None:
        raise UnauthorizedError
    return member


def _find_repeated(signed_in: SignedIn, room: str, client_id: str | None) -> MessageView | None:
    """Find the message of a member who has to wait, if it was stored before. Raises what else forbids to send it."""
    with db.read() as session:
        view = rooms.load_open_room_in(session, signed_in, room)
        earlier = history.find_by_client_id(session, view.id, signed_in.user_id, client_id)
    if earlier is None:
        rooms.check_not_muted(view)
    return earlier


def edit_message(signed_in: SignedIn, room: str, number: int, text: str) -> MessageView:
    """Change the text of the member's own message.

    Raises TextError, UnknownMessageError, NotYoursError, and what sending a message raises.
    """
    text = clean_text(text)
    with db.read() as session:
        view = rooms.load_open_room_in(session, signed_in, room)
        rooms.check_not_muted(view)
        found = history.load_message_in(session, view.id, number)
    if found.from_ref != signed_in.ref:
        raise NotYoursError("Only the author can edit a message.")
    if found.text == text:
        return found
    count_post(signed_in)
    with db.write() as session:
        author, counted = lock_author_and_room(session, signed_in.user_id, view.id)
        message = lock_message(session, view.id, number)
        message.text, message.changed, message.edited_at = text, counted.last_number, utc_now()
        session.flush()
    return publish_change(Change(message, author, room).view())


MAX_MESSAGE_LENGTH = 4000
"""Maximum characters of a message."""
MAX_REASON_LENGTH = 500

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REFUSED = re.compile("[\x00\ud800-\udfff]")
# Invisible, and not typed by people.
_CONTROLS = re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f]")


def clean_text(text: str, field: str = "message") -> str:
    """Return ``text`` as it is stored: without control characters and surrounding spaces. Raises TextError."""
    return _tidy(text, MAX_MESSAGE_LENGTH, field) or _refuse("Write a message first.", field)


def clean_reason(text: str) -> str:
    """Return a reason in one line; may be empty. Raises TextError for ``reason``."""
    return " ".join(_tidy(text, MAX_REASON_LENGTH, "reason").split())


def check_client_id(name: str | None) -> str | None:
    """Check the client_id that a client gave its message; None is allowed. Raises TextError."""
    if name is None or _CLIENT_ID.fullmatch(name):
        return name
    raise TextError("A client_id is 1 to 64 of A-Z a-z 0-9 . _ -", "client_id")


def _tidy(text: str, most: int, field: str) -> str:
    if _REFUSED.search(text):
        _refuse("This contains invalid characters.", field)
    text = _CONTROLS.sub("", plain(text).replace("\r\n", "\n").replace("\r", "\n")).strip()
    if len(text) > most:
        _refuse(f"This is too long. Use at most {most} characters.", field)
    return text


def _refuse(detail: str, field: str) -> str:
    raise TextError(detail, field)
