"""How a room's change is written: the author first, then the room's count, then the message.

Everybody locks in this order, as does whoever deletes an account, so that no two wait for each other in a ring.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from church.errors import UnauthorizedError
from church.models import ChatMessage, ChatRoom, User
from church.models.base import utc_now
from church.services import live_wire
from church.services.chat_errors import UnknownMessageError
from church.services.chat_views import MessageView, encode, view_by


class Change(NamedTuple):
    """A message in its new state, its author, and the room's name."""

    message: ChatMessage
    author: User
    room: str

    def view(self) -> MessageView:
        """What everybody is shown of it."""
        return view_by(self.message, self.room, self.author)


def hold_account(session: Session, user_id: int) -> User:
    """The account, which is not emptied while this transaction goes on. Raises UnauthorizedError for one that was."""
    same = select(User).where(User.id == user_id, User.deleted_at.is_(None), User.disabled_at.is_(None))
    user = session.scalars(same.with_for_update(read=True, key_share=True)).one_or_none()
    if user is None:
        raise UnauthorizedError
    return user


def next_number(session: Session, room_id: int) -> int:
    """Count one more change of the room; nobody else counts there until this transaction ends."""
    statement = update(ChatRoom).where(ChatRoom.id == room_id).values(last_number=ChatRoom.last_number + 1)
    statement = statement.returning(ChatRoom.last_number).execution_options(synchronize_session=False)
    return session.scalars(statement).one()


def living(session: Session, room_id: int, number: int) -> ChatMessage:
    """The message as it is, for a change under the room's lock. Raises UnknownMessageError."""
    same = select(ChatMessage).where(ChatMessage.room_id == room_id, ChatMessage.number == number)
    message = session.scalars(same).one_or_none()
    if message is None or message.deleted_at is not None:
        raise UnknownMessageError
    return message


def erase(session: Session, room_id: int, number: int, by: int | None) -> Change:
    """Take a message's text away, and keep that it was. Raises UnknownMessageError.

    Who deletes a message may not want it kept: what was reported of it stays with the report.
    """
    changed = next_number(session, room_id)
    message = living(session, room_id, number)
    message.text, message.changed = "", changed
    message.deleted_at, message.deleted_by = utc_now(), by
    session.flush()
    return Change(message, session.get_one(User, message.user_id), session.get_one(ChatRoom, room_id).name)


def tell(view: MessageView) -> MessageView:
    """Tell everybody in the room; to be called after the commit."""
    live_wire.publish(f"chat:{view.room}", encode(view))
    return view
