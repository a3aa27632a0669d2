"""Store new messages: those of several members in one transaction, each with its own result or error.

What may change is read in the transaction: the authors' accounts, their sanctions, and the rooms. So a ban, a closed
room and a deleted account are in force for every message that is committed after them. Authors are locked first, then
the rooms' counters in the order of their ids (see ``change_log``).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from church.database import WRITE_WAIT, DatabaseDownError
from church.database.direct import DirectStatement
from church.errors import ChurchError, UnauthorizedError
from church.extensions import db
from church.lib.app_context import app_state
from church.models import ChatMessage, ChatRoom, ChatSanction, User
from church.models.accounts import Role
from church.models.base import utc_now
from church.models.chat import RoomAccess
from church.services import sessions
from church.services.chat import history, rooms
from church.services.chat.change_log import publish_changes
from church.services.chat.errors import ClosedRoomError, UnknownRoomError
from church.services.chat.post_queue import PostQueue
from church.services.chat.presenters import MessageView, present_new_message
from church.services.chat.rooms import RoomFacts, SanctionFacts
from church.services.entitlements import read_premium
from church.services.sessions import SignedIn

_QUEUE = "chat_posts"
_ROOMS = "chat_rooms"


class Post(NamedTuple):
    """A message that a member sends; ``text`` and ``client_id`` were checked.

    ``is_unchecked``: what is known of the member may be old. Their session, role and subscription are then read anew.
    """

    signed_in: SignedIn
    room: str
    text: str
    client_id: str | None
    is_unchecked: bool = False


class Stored(NamedTuple):
    """A message as stored. ``is_new`` is False if it was stored earlier, under the same client_id."""

    view: MessageView
    is_new: bool


def publish_post(post: Post) -> Stored:
    """Store a message, together with those that others send at the same time, and publish it.

    Raises UnauthorizedError, UnknownRoomError, ClosedRoomError, BannedError, MutedError, and what the database raises.
    """
    state = app_state()
    queue: PostQueue[Post, Stored] = state.get(_QUEUE) or state.setdefault(_QUEUE, PostQueue(_store_and_publish))
    return queue.store(post)


def _store_and_publish(posts: Sequence[Post]) -> list[Stored | Exception]:
    results = store_posts(posts)
    publish_changes([one.view for one in results if isinstance(one, Stored) and one.is_new])
    return results


def store_posts(posts: Sequence[Post]) -> list[Stored | Exception]:
    """Store messages in one transaction, in their order; a result or an error for each.

    If the transaction fails, each message is stored alone: the error is of one of them. Not when the database is down,
    nor once that takes too long.
    """
    began = time.monotonic()
    try:
        return list(_store_together(posts))
    except Exception as error:  # noqa: BLE001 - its sender raises it
        if len(posts) == 1 or isinstance(error, DatabaseDownError):
            return [error] * len(posts)
        failure = error
    results: list[Stored | Exception] = []
    for post in posts:
        is_in_time = time.monotonic() - began < WRITE_WAIT
        results += store_posts([post]) if is_in_time else [failure]
    return results


# -- one transaction ---------------------------------------------------------------------------------------------------


class _UnexpectedError(Exception):
    """A message was stored before, or a room has changed: look at both this time."""


class _Author(NamedTuple):
    ref: str
    name: str
    role: str
    is_verified: bool
    sanctions: list[SanctionFacts]

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN.value and self.is_verified


@dataclass
class _New:
    """A message to be stored; ``number`` is given to it last."""

    post: Post
    author: _Author
    room_id: int
    at: datetime
    number: int = 0

    @property
    def view(self) -> MessageView:
        return present_new_message(
            self.post.room, self.number, self.author.ref, self.author.name,
            is_admin=self.author.is_admin, text=self.post.text, client_id=self.post.client_id, at=self.at,
        )  # fmt: skip


_Outcome = _New | MessageView | ChurchError


def _store_together(posts: Sequence[Post]) -> Iterator[Stored | Exception]:
    try:
        outcomes = _try_to_store(posts, looks=False)
    except _UnexpectedError:
        outcomes = _try_to_store(posts, looks=True)
    views: dict[int, MessageView] = {}
    for outcome in outcomes:
        if isinstance(outcome, _New):
            is_new = id(outcome) not in views
            yield Stored(views.setdefault(id(outcome), outcome.view), is_new)
        else:
            yield Stored(outcome, is_new=False) if isinstance(outcome, MessageView) else outcome


class _Facts(NamedTuple):
    """What was read in the transaction: rooms by name, authors by account, and the live ones of unchecked sessions."""

    connection: Connection
    now: datetime
    looks: bool
    rooms: dict[str, RoomFacts]
    authors: dict[int, _Author]
    live: Set[str]


def _try_to_store(posts: Sequence[Post], *, looks: bool) -> list[_Outcome]:
    """Store the posts in one transaction. Raises _UnexpectedError for what it can only know with ``looks``."""
    with db.write_connection() as connection:
        facts = _read(connection, posts, looks=looks)
        outcomes: list[_Outcome] = []
        new: dict[object, _New] = {}  # by what a repeated one has in common with the first
        for number, post in enumerate(posts):
            outcome = _decide(facts, post)
            if isinstance(outcome, _New):
                name = (outcome.room_id, post.signed_in.user_id, post.client_id) if post.client_id else number
                outcome = new.setdefault(name, outcome)
            outcomes.append(outcome)
        if new:
            _number(connection, list(new.values()), facts.rooms)
            _insert(connection, list(new.values()))
    return outcomes


def _read(connection: Connection, posts: Sequence[Post], *, looks: bool) -> _Facts:
    now = utc_now()
    authors = _lock_authors(connection, {post.signed_in.user_id for post in posts}, now)
    unchecked = {post.signed_in.session_ref for post in posts if post.is_unchecked}
    live = sessions.find_live(connection, unchecked, now) if unchecked else set()
    known = _load_rooms(connection, {post.room for post in posts}, looks=looks)
    return _Facts(connection, now, looks, known, authors, live)


def _decide(facts: _Facts, post: Post) -> _Outcome:
    """What becomes of a post: a new message, one that was stored before, or an error."""
    author, room = facts.authors.get(post.signed_in.user_id), facts.rooms.get(post.room)
    if author is None or (post.is_unchecked and post.signed_in.session_ref not in facts.live):
        return UnauthorizedError()
    if room is None:
        return UnknownRoomError()
    try:
        view = rooms.check_open(room, _member_now(facts, post, author, room), author.sanctions)
        if facts.looks or view.muted:
            earlier = _find_earlier(facts.connection, view.id, post)
            if earlier is not None:
                return earlier
        rooms.check_not_muted(view)
    except ClosedRoomError as error:
        if not facts.looks:  # it may have been opened
            raise _UnexpectedError from None
        return error
    except ChurchError as error:
        return error
    return _New(post, author, view.id, facts.now)


def _member_now(facts: _Facts, post: Post, author: _Author, room: RoomFacts) -> SignedIn:
    """The member of a post, with what decides who may enter ``room`` read anew where it may be old."""
    if not post.is_unchecked:
        return post.signed_in
    is_asked = room.access == RoomAccess.PREMIUM
    premium = is_asked and read_premium(facts.connection, post.signed_in.user_id, facts.now)
    return replace(post.signed_in, role=author.role, verified=author.is_verified, premium=premium)


def _find_earlier(connection: Connection, room_id: int, post: Post) -> MessageView | None:
    with Session(connection, join_transaction_mode="rollback_only") as session:
        return history.find_by_client_id(session, room_id, post.signed_in.user_id, post.client_id)


# -- statements --------------------------------------------------------------------------------------------------------

# Built once: these run for every message, and building a statement costs as much as running it.
_ACTIVE_AUTHORS = (
    select(
        *(User.id, User.ref, User.name, User.role, User.verified_at),
        *(ChatSanction.kind, ChatSanction.room_id, ChatSanction.until, ChatSanction.created_at),
    )
    .outerjoin_from(
        User, ChatSanction, and_(ChatSanction.user_id == User.id, *rooms.in_force_conditions(bindparam("now")))
    )
    .where(User.deleted_at.is_(None), User.disabled_at.is_(None))
    .with_for_update(read=True, key_share=True, of=User)
)
_AUTHOR = DirectStatement(_ACTIVE_AUTHORS.where(User.id == bindparam("user")))
_AUTHORS = _ACTIVE_AUTHORS.where(User.id.in_(bindparam("users", expanding=True)))
_ROOM_ROWS = select(ChatRoom.id, ChatRoom.name, ChatRoom.title, ChatRoom.access, ChatRoom.last_number).order_by(
    ChatRoom.id
)
_LOCKED_ROOM_ROWS = _ROOM_ROWS.with_for_update()
_COUNT = DirectStatement(
    update(ChatRoom)
    .where(ChatRoom.id == bindparam("room"))
    .values(last_number=ChatRoom.last_number + bindparam("more"))
    .returning(ChatRoom.id, ChatRoom.name, ChatRoom.title, ChatRoom.access, ChatRoom.last_number)
)
_INSERT = {
    name: dialect.insert(ChatMessage.__table__)
    .on_conflict_do_nothing(index_elements=["room_id", "user_id", "client_id"])
    .execution_options(preserve_rowcount=True)
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}
_INSERTED = ("room_id", "number", "changed", "user_id", "text", "client_id", "created_at")
_INSERT_ONE = {
    name: DirectStatement(statement.values({column: bindparam(column) for column in _INSERTED}))
    for name, statement in _INSERT.items()
}


def _lock_authors(connection: Connection, user_ids: Collection[int], now: datetime) -> dict[int, _Author]:
    """The authors whose account is active, by id, with their sanctions in force; locked against deletion."""
    rows: Iterable[Any]
    if len(user_ids) == 1:
        rows = _AUTHOR.run(connection, {"user": next(iter(user_ids)), "now": now}).rows
    else:
        rows = connection.execute(_AUTHORS, {"users": list(user_ids), "now": now})
    authors: dict[int, _Author] = {}
    for user_id, ref, name, role, verified_at, kind, room_id, until, created_at in rows:
        author = authors.get(user_id)
        if author is None:
            author = authors[user_id] = _Author(ref, name, role, verified_at is not None, [])
        if kind is not None:  # else the row is of an author without sanctions
            author.sanctions.append(SanctionFacts(kind, room_id, until, created_at))
    return authors


def _load_rooms(connection: Connection, names: Set[str], *, looks: bool) -> dict[str, RoomFacts]:
    """The rooms by name: as this process knows them, or with ``looks`` as they are, and locked."""
    known: dict[str, RoomFacts] = app_state().get(_ROOMS, {})
    if looks or not known.keys() >= names:
        rows = connection.execute(_LOCKED_ROOM_ROWS if looks else _ROOM_ROWS)
        known = app_state()[_ROOMS] = {row.name: RoomFacts(*row) for row in rows}
    return known


def _number(connection: Connection, new: Sequence[_New], known: dict[str, RoomFacts]) -> None:
    """Count the rooms up, and give each message its number. Raises _UnexpectedError for a room that has changed."""
    by_room: dict[int, list[_New]] = {}
    for one in new:
        by_room.setdefault(one.room_id, []).append(one)
    for room_id, own in sorted(by_room.items()):
        counted = _COUNT.run(connection, {"room": room_id, "more": len(own)}).rows
        before = known[own[0].post.room]
        if not counted or counted[0][:4] != before[:4]:
            raise _UnexpectedError
        for number, one in enumerate(own, RoomFacts(*counted[0]).last_number - len(own) + 1):
            one.number = number


def _insert(connection: Connection, new: Sequence[_New]) -> None:
    """Insert the messages. Raises _UnexpectedError if one was stored before."""
    rows = [
        {
            "room_id": one.room_id,
            "number": one.number,
            "changed": one.number,
            "user_id": one.post.signed_in.user_id,
            "text": one.post.text,
            "client_id": one.post.client_id,
            "created_at": one.at,
        }
        for one in new
    ]
    name = connection.dialect.name
    if len(rows) == 1:
        inserted = _INSERT_ONE[name].run(connection, rows[0]).written
    else:
        inserted = connection.execute(_INSERT[name], rows).rowcount
    if inserted != len(rows):
        raise _UnexpectedError
