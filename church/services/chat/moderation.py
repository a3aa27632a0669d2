"""Delete messages, report them, and close reports."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, aliased

from church.database.paging import NEWEST, ListPage, Place, fetch_page
from church.database.upsert import insert_or_ignore
from church.errors import NotFoundError
from church.extensions import db
from church.models import ChatMessage, ChatReport, ChatRoom, User
from church.models.base import utc_now
from church.services import audit
from church.services.accounts import actor_of
from church.services.audit import Actor, Person
from church.services.chat import history, messages, report_emails, rooms
from church.services.chat.change_log import Change, erase_message, lock_account, publish_change
from church.services.chat.errors import NotYoursError, UnknownMessageError
from church.services.chat.posting_limits import count_post
from church.services.chat.presenters import MessageView
from church.services.sessions import Device, SignedIn

log = logging.getLogger("church.live")


class UnknownReportError(NotFoundError):
    """No report has this number."""

    def __init__(self, report_id: int) -> None:
        super().__init__(f"There is no report {report_id}.")


@dataclass(frozen=True)
class ReportView:
    """A reported message. ``text`` is its text when it was reported; ``standing`` is False once it is deleted."""

    id: int
    room: str
    number: int
    author: Person
    text: str
    standing: bool
    reporter: Person
    reason: str
    created_at: datetime
    settled_at: datetime | None


def delete_message(signed_in: SignedIn, room: str, number: int, device: Device) -> MessageView:
    """Delete the member's own message, even in a room they may no longer enter; admins may delete any message.

    Raises UnknownRoomError, UnknownMessageError and NotYoursError; also ClosedRoomError and BannedError for a message
    of another member in a room that is closed to this one.
    """
    with db.read() as session:
        room_id = rooms.find_room(session, room).id
        own = _is_own(session, room_id, number, signed_in)
        if not own and not signed_in.is_admin:
            rooms.load_open_room_in(session, signed_in, room)
            history.load_message_in(session, room_id, number)
            raise NotYoursError("Only the author can delete a message.")
    return _remove(room_id, number, actor_of(signed_in, device))


def delete_as_admin(room: str, number: int, actor: Actor) -> MessageView:
    """Delete a message as an admin. Raises UnknownRoomError and UnknownMessageError."""
    with db.read() as session:
        room_id = rooms.find_room(session, room).id
    return _remove(room_id, number, actor)


def report_message(signed_in: SignedIn, room: str, number: int, reason: str = "") -> None:
    """Report a message to the admins; repeated reports count once. ``reason`` may be empty.

    Raises what loading the message raises, TextError and RateLimitedError.
    """
    reason = messages.clean_reason(reason)
    history.load_message(signed_in, room, number)
    count_post(signed_in)
    with db.write() as session:
        lock_account(session, signed_in.user_id)
        message = _lock_message(session, rooms.find_room(session, room).id, number)
        values = {
            "message_id": message.id,
            "user_id": signed_in.user_id,
            "text": message.text,
            "reason": reason,
            "created_at": utc_now(),
        }
        if insert_or_ignore(session, ChatReport, values, unique=["message_id", "user_id"]):
            report_emails.queue_report_email(session)
    log.info("message reported", extra={"event": "chat.reported", "room": room, "number": number})


def list_reports(*, settled: bool = False, place: Place = NEWEST) -> ListPage[ReportView]:
    """List open reports, or the closed ones; newest first."""
    author, reporter = aliased(User), aliased(User)
    query = (
        select(ChatReport, ChatMessage, ChatRoom.name, author, reporter)
        .join(ChatMessage, ChatMessage.id == ChatReport.message_id)
        .join(ChatRoom, ChatRoom.id == ChatMessage.room_id)
        .join(author, author.id == ChatMessage.user_id)
        .join(reporter, reporter.id == ChatReport.user_id)
        .where(ChatReport.settled_at.is_not(None) if settled else ChatReport.settled_at.is_(None))
    )
    with db.read() as session:
        return fetch_page(session, query, ChatReport.id, ChatReport.created_at, place).convert(lambda row: _view(*row))


def count_open_reports() -> int:
    """Count open reports, by an index."""
    with db.read() as session:
        return session.scalar(select(func.count()).where(ChatReport.settled_at.is_(None))) or 0


def close_report(report_id: int, actor: Actor, *, removing: bool = False) -> None:
    """Close all open reports of a report's message; ``removing`` deletes the message, unless it is deleted already.

    Raises UnknownReportError.
    """
    with db.write() as session:
        message = _reported(session, report_id)
        exists = message.deleted_at is None
        change = _erase(session, message.room_id, message.number, actor) if removing and exists else None
        still_open = update(ChatReport).where(ChatReport.message_id == message.id, ChatReport.settled_at.is_(None))
        closing = still_open.values(settled_at=utc_now(), settled_by=actor.user_id)
        session.execute(closing.execution_options(synchronize_session=False))
        audit.record_by(session, "chat.report_settled", actor, message.user_id, report=report_id, removed=removing)
    if change is not None:
        publish_change(change.view())
    log.info("report closed", extra={"event": "chat.report_settled", "report": report_id, "removed": removing})


def _remove(room_id: int, number: int, actor: Actor) -> MessageView:
    with db.write() as session:
        change = _erase(session, room_id, number, actor)
    return publish_change(change.view())


def _erase(session: Session, room_id: int, number: int, actor: Actor) -> Change:
    """Delete a message; an admin's deletion of another member's message gets an audit row."""
    if actor.user_id is not None:
        lock_account(session, actor.user_id)
    change = erase_message(session, room_id, number, actor.user_id)
    if change.author.id != actor.user_id:
        facts = {"room": change.room, "message": number}
        audit.record_by(session, "chat.message_removed", actor, change.author.id, **facts)
    return change


def _is_own(session: Session, room_id: int, number: int, signed_in: SignedIn) -> bool:
    try:
        return history.load_message_in(session, room_id, number).from_ref == signed_in.ref
    except UnknownMessageError:
        return False


def _lock_message(session: Session, room_id: int, number: int) -> ChatMessage:
    """Load a message, locked against deletion until the transaction ends. Raises UnknownMessageError."""
    query = select(ChatMessage).where(ChatMessage.room_id == room_id, ChatMessage.number == number)
    message = session.scalars(query.with_for_update(read=True)).one_or_none()
    if message is None or message.deleted_at is not None:
        raise UnknownMessageError
    return message


def _reported(session: Session, report_id: int) -> ChatMessage:
    row = session.get(ChatReport, report_id)
    if row is None:
        raise UnknownReportError(report_id)
    return session.get_one(ChatMessage, row.message_id)


def _view(row: ChatReport, message: ChatMessage, room: str, author: User, reporter: User) -> ReportView:
    return ReportView(
        id=row.id,
        room=room,
        number=message.number,
        author=Person(author.ref, author.name),
        text=row.text,
        standing=message.deleted_at is None,
        reporter=Person(reporter.ref, reporter.name),
        reason=row.reason,
        created_at=row.created_at,
        settled_at=row.settled_at,
    )
