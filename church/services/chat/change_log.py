"""How a room's change is written: the author first, then the room's count, then the message.

Everybody locks in this order, as does whoever deletes an account, so that no two wait for each other in a ring.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from church.errors import UnauthorizedError
from church.models import ChatMessage, ChatRoom, User
from church.models.base import utc_now
from church.services import live_broadcast
from church.services.chat import rooms as chat_rooms
from church.services.chat.errors import UnknownMessageError
from church.services.chat.presenters import MessageView, encode, view_by

# Said for every message: putting a statement together costs as much as having it answered.
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
    """A message in its new state, its author, and the room's name; ``view`` is asked when it is committed."""

    message: ChatMessage
    author: User
    room: str

    def view(self) -> MessageView:
        """What everybody is shown of it."""
        return view_by(self.message, self.room, self.author)


def hold_account(session: Session, user_id: int) -> User:
    """The account, which is not emptied while this transaction goes on. Raises UnauthorizedError for one that was."""
    user = session.scalars(_HOLD, {"user_id": user_id}).one_or_none()
    if user is None:
        raise UnauthorizedError
    return user


def next_number(session: Session, room_id: int) -> ChatRoom:
    """The room, counted one further in ``last_number``; nobody else counts there until this transaction ends."""
    return session.scalars(_COUNT, {"room_id": room_id}).one()


def speaking(session: Session, user_id: int, room_id: int) -> tuple[User, ChatRoom]:
    """The author and the counted room, for who may still speak there.

    Raises UnauthorizedError, BannedError and MutedError.
    """
    author = hold_account(session, user_id)
    room = next_number(session, room_id)
    chat_rooms.insist_on_voice(chat_rooms.unbanned(session, room, author.id))
    return author, room


def living(session: Session, room_id: int, number: int) -> ChatMessage:
    """The message as it is, locked, for a change under the room's lock. Raises UnknownMessageError."""
    same = select(ChatMessage).where(ChatMessage.room_id == room_id, ChatMessage.number == number)
    message = session.scalars(same.with_for_update().execution_options(populate_existing=True)).one_or_none()
    if message is None or message.deleted_at is not None:
        raise UnknownMessageError
    return message


def erase(session: Session, room_id: int, number: int, by: int | None) -> Change:
    """Take a message's text away, and keep that it was. Raises UnknownMessageError.

    Who deletes a message may not want it kept: what was reported of it stays with the report.
    """
    room = next_number(session, room_id)
    message = living(session, room_id, number)
    message.text, message.changed = "", room.last_number
    message.deleted_at, message.deleted_by = utc_now(), by
    session.flush()
    return Change(message, session.get_one(User, message.user_id), room.name)


def erase_all(session: Session, author: User) -> list[Change]:
    """The same for all that a member has said, whose row is locked; the last change of each room."""
    own = select(ChatMessage.room_id).where(ChatMessage.user_id == author.id, ChatMessage.deleted_at.is_(None))
    rooms = select(ChatRoom).where(ChatRoom.id.in_(own)).order_by(ChatRoom.id).with_for_update()
    found = session.scalars(rooms.execution_options(populate_existing=True)).all()
    return [change for room in found if (change := _erase_in(session, room, author)) is not None]


def _erase_in(session: Session, room: ChatRoom, author: User) -> Change | None:
    own = select(ChatMessage.id).where(ChatMessage.room_id == room.id, ChatMessage.user_id == author.id)
    standing = own.where(ChatMessage.deleted_at.is_(None)).order_by(ChatMessage.number).with_for_update()
    ids = session.scalars(standing).all()
    if not ids:
        return None
    gone = {"text": "", "deleted_at": utc_now(), "deleted_by": author.id}
    numbered = enumerate(ids, room.last_number + 1)
    session.execute(update(ChatMessage), [{"id": row, "changed": number, **gone} for number, row in numbered])
    room.last_number += len(ids)
    session.flush()
    return Change(session.get_one(ChatMessage, ids[-1]), author, room.name)


def tell(view: MessageView) -> MessageView:
    """Tell everybody in the room; to be called after the commit."""
    live_broadcast.publish(f"chat:{view.room}", encode(view))
    return view
