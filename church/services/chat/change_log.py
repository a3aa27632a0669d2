"""Write a change of a chat room: lock the author first, then the room's counter, then the message.

Everything that changes messages, including the deletion of an account, locks in this order, so that no deadlock arises.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from church.errors import UnauthorizedError
from church.models import ChatMessage, ChatRoom, User
from church.models.base import utc_now
from church.services import live_broadcast
from church.services.chat import rooms as chat_rooms
from church.services.chat.errors import UnknownMessageError
from church.services.chat.presenters import MessageView, encode_message, present_message_by

# Built once: these run for every message, and building a statement costs as much as running it.
_HOLD = (
    select(User)
    .where(User.id == bindparam("user_id"), User.deleted_at.is_(None), User.disabled_at.is_(None))
    .with_for_update(read=True, key_share=True)
)
_COUNT = (
    update(ChatRoom)
    .where(ChatRoom.id == bindparam("room_id"))
    .values(last_number=ChatRoom.last_number + 1)
    .returning(ChatRoom)
    .execution_options(populate_existing=True, synchronize_session=False)
)


class Change(NamedTuple):
    """A changed message, its author, and the room's name. Call ``view`` after the commit."""

    message: ChatMessage
    author: User
    room: str

    def view(self) -> MessageView:
        """The message as members see it."""
        return present_message_by(self.message, self.room, self.author)


def lock_account(session: Session, user_id: int) -> User:
    """Lock an account against deletion until the transaction ends. Raises UnauthorizedError if it is deleted."""
    user = session.scalars(_HOLD, {"user_id": user_id}).one_or_none()
    if user is None:
        raise UnauthorizedError
    return user


def take_next_number(session: Session, room_id: int) -> ChatRoom:
    """Count a room's ``last_number`` up by one and return the room, locked until the transaction ends."""
    return session.scalars(_COUNT, {"room_id": room_id}).one()


def lock_author_and_room(session: Session, user_id: int, room_id: int) -> tuple[User, ChatRoom]:
    """Check that the member may write in the room, and take its next number; the locked author and room.

    Raises UnauthorizedError, BannedError and MutedError.
    """
    author = lock_account(session, user_id)
    room = take_next_number(session, room_id)
    chat_rooms.check_not_muted(chat_rooms.check_not_banned(session, room, author.id))
    return author, room


def lock_message(session: Session, room_id: int, number: int) -> ChatMessage:
    """Load and lock a message that is not deleted; lock its room first. Raises UnknownMessageError."""
    query = select(ChatMessage).where(ChatMessage.room_id == room_id, ChatMessage.number == number)
    message = session.scalars(query.with_for_update().execution_options(populate_existing=True)).one_or_none()
    if message is None or message.deleted_at is not None:
        raise UnknownMessageError
    return message


def erase_message(session: Session, room_id: int, number: int, by: int | None) -> Change:
    """Delete a message's text, and mark the message as deleted. Raises UnknownMessageError.

    Open reports keep their copy of the text.
    """
    room = take_next_number(session, room_id)
    message = lock_message(session, room_id, number)
    message.text, message.changed = "", room.last_number
    message.deleted_at, message.deleted_by = utc_now(), by
    session.flush()
    return Change(message, session.get_one(User, message.user_id), room.name)


def erase_messages_of(session: Session, author: User) -> list[Change]:
    """Delete all messages of a member, whose row the caller has locked; the last change of each room."""
    own = select(ChatMessage.room_id).where(ChatMessage.user_id == author.id, ChatMessage.deleted_at.is_(None))
    query = select(ChatRoom).where(ChatRoom.id.in_(own)).order_by(ChatRoom.id).with_for_update()
    rooms = session.scalars(query.execution_options(populate_existing=True)).all()
    return [change for room in rooms if (change := _erase_in(session, room, author)) is not None]


def _erase_in(session: Session, room: ChatRoom, author: User) -> Change | None:
    own = select(ChatMessage.id).where(ChatMessage.room_id == room.id, ChatMessage.user_id == author.id)
    not_deleted = own.where(ChatMessage.deleted_at.is_(None)).order_by(ChatMessage.number).with_for_update()
    ids = session.scalars(not_deleted).all()
    if not ids:
        return None
    erased = {"text": "", "deleted_at": utc_now(), "deleted_by": author.id}
    numbered = enumerate(ids, room.last_number + 1)
    session.execute(update(ChatMessage), [{"id": row, "changed": number, **erased} for number, row in numbered])
    room.last_number += len(ids)
    session.flush()
    return Change(session.get_one(ChatMessage, ids[-1]), author, room.name)


def publish_change(view: MessageView) -> MessageView:
    """Publish a change to everyone in the room; call this after the commit."""
    publish_changes([view])
    return view


def publish_changes(views: Iterable[MessageView]) -> None:
    """Publish changes in their order; call this after the commit."""
    live_broadcast.publish_all([(f"chat:{view.room}", encode_message(view)) for view in views])
