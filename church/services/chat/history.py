"""Read a room's messages: the newest, older pages, and what changed since a cursor."""

from __future__ import annotations

from sqlalchemy import BigInteger, BindParameter, Select, bindparam, select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import ChatMessage, ChatRoom, User
from church.services.chat import rooms
from church.services.chat.errors import UnknownMessageError
from church.services.chat.presenters import MessageView, RoomPage, present_message_by
from church.services.sessions import SignedIn

MAX_MESSAGES = 500
"""Maximum messages in one answer."""
PAGE_SIZE = 50
_HIGHEST = 2**63 - 1  # the largest number of a database column; clients may send larger ones


def list_changes(room_id: int, changed: int, limit: int = MAX_MESSAGES) -> list[MessageView]:
    """List the messages that changed after ``changed``, in the order of their last change, in their current state.

    If there are ``limit`` of them, there may be more: call again with the last one's ``changed``. Each message is
    listed once, however often it changed, so ``changed`` may have gaps.
    """
    query = _messages(room_id).where(ChatMessage.changed > _bounded(changed)).order_by(ChatMessage.changed)
    with db.read() as session:
        return _views(session, query.limit(max(1, min(limit, MAX_MESSAGES))))


def list_messages(room_id: int, number: int | None = None, limit: int = PAGE_SIZE) -> list[MessageView]:
    """List the newest messages of a room, or the newest before ``number``; oldest first, without deleted ones."""
    with db.read() as session:
        return _before(session, room_id, number, limit)


def load_page(signed_in: SignedIn, room: str, number: int | None = None, limit: int = PAGE_SIZE) -> RoomPage:
    """Load a page of a room that the member may enter: its newest messages, or those before ``number``, and the cursor.

    Raises UnknownRoomError, ClosedRoomError and BannedError.
    """
    with db.read() as session:
        # The cursor is read first: a change in between is shown here and sent once more, instead of being missed.
        view = rooms.load_open_room_in(session, signed_in, room)
        found = _before(session, view.id, number, limit + 1)
    return RoomPage(view, found[-limit:], view.head, len(found) > limit)


def load_message(signed_in: SignedIn, room: str, number: int) -> MessageView:
    """Load one message of a room that the member may enter.

    Raises UnknownMessageError, UnknownRoomError, ClosedRoomError and BannedError.
    """
    with db.read() as session:
        view = rooms.load_open_room_in(session, signed_in, room)
        return load_message_in(session, view.id, number)


def load_message_in(session: Session, room_id: int, number: int) -> MessageView:
    """Load a message that is not deleted. Raises UnknownMessageError."""
    found = _views(session, _messages(room_id).where(ChatMessage.number == _bounded(number)))
    if not found or found[0].deleted:
        raise UnknownMessageError
    return found[0]


def find_by_client_id(session: Session, room_id: int, user_id: int, client_id: str | None) -> MessageView | None:
    """Find the member's message with this client_id in the room, deleted or not."""
    if client_id is None:
        return None
    own = {"room_id": room_id, "user_id": user_id, "client_id": client_id}
    rows = session.execute(_OWN, own)
    return next((present_message_by(row, name, author) for row, name, author in rows), None)


def _bounded(number: int) -> int:
    return max(0, min(number, _HIGHEST))


def _messages(room_id: int | BindParameter[int]) -> Select[ChatMessage, str, User]:
    query = select(ChatMessage, ChatRoom.name, User)
    query = query.join(ChatRoom, ChatRoom.id == ChatMessage.room_id).join(User, User.id == ChatMessage.user_id)
    return query.where(ChatMessage.room_id == room_id)


# Built once: this runs for every message, and building a statement costs as much as running it.
_OWN = _messages(bindparam("room_id", type_=BigInteger())).where(
    ChatMessage.user_id == bindparam("user_id"), ChatMessage.client_id == bindparam("client_id")
)


def _views(session: Session, query: Select[ChatMessage, str, User]) -> list[MessageView]:
    return [present_message_by(row, name, author) for row, name, author in session.execute(query)]


def _before(session: Session, room_id: int, number: int | None, limit: int) -> list[MessageView]:
    query = _messages(room_id).where(ChatMessage.deleted_at.is_(None)).order_by(ChatMessage.number.desc())
    if number is not None:
        query = query.where(ChatMessage.number < _bounded(number))
    return _views(session, query.limit(max(1, min(limit, MAX_MESSAGES))))[::-1]
