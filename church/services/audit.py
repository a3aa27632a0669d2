"""The audit log: entries are written in the transaction of the action, and read by admins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, aliased

from church import telemetry
from church.database.paging import NEWEST, ListPage, Place, fetch_page
from church.extensions import db
from church.models import AuditEntry, User
from church.models.base import utc_now

ACTIONS = (
    "account.deleted",
    "account.email_change_asked",
    "account.email_changed",
    "account.exported",
    "account.password_changed",
    "account.password_reset",
    "account.registered",
    "account.renamed",
    "account.sessions_ended",
    "account.signed_in",
    "account.signed_out",
    "account.verified",
    "chat.ban",
    "chat.ban_lifted",
    "chat.message_removed",
    "chat.mute",
    "chat.mute_lifted",
    "chat.report_settled",
    "error.ignored",
    "error.reopened",
    "error.resolved",
    "grant.given",
    "grant.revoked",
    "job.retried",
    "mail.retried",
    "maintenance.begun",
    "maintenance.ended",
    "member.created",
    "member.demoted",
    "member.disabled",
    "member.enabled",
    "member.promoted",
    "member.reset_sent",
    "member.sessions_ended",
    "network.blocked",
    "network.unblocked",
    "notice.sent",
    "payment.assigned",
    "payment.dismissed",
    "payment.matched",
    "subscription.ended",
    "token.created",
    "token.revoked",
    "video.added",
    "video.captioned",
    "video.chaptered",
    "video.deleted",
    "video.edited",
    "video.retried",
    "video.uncaptioned",
    "webhook.replayed",
)
"""Every action that the site records, by name."""
_ACTIONS = frozenset(ACTIONS)


@dataclass(frozen=True)
class Actor:
    """Who acts: a member, or without ``user_id`` the command line or the site itself (``via``)."""

    user_id: int | None = None
    via: str = "web"
    address: str | None = None


@dataclass(frozen=True)
class Person:
    """A person in the log; the name of a deleted account is empty."""

    ref: str
    name: str


@dataclass(frozen=True)
class AuditView:
    """One entry of the log, for the admin area or an export."""

    id: int
    at: datetime
    action: str
    via: str
    actor: Person | None
    subject: Person | None
    detail: dict[str, Any]
    address: str | None
    request_id: str | None


def record(
    session: Session,
    action: str,
    *,
    via: str = "web",
    actor_id: int | None = None,
    subject_id: int | None = None,
    address: str | None = None,
    **detail: Any,
) -> None:
    """Write an entry for ``action``, one of ``ACTIONS``, in the caller's write transaction; both fail together.

    ``address`` is the IP address of the request. ``detail`` may contain names of fields, roles and counts, but no
    secrets and no email addresses. Raises ValueError for an action that ``ACTIONS`` lacks.
    """
    if action not in _ACTIONS:
        raise ValueError(f"no audit action {action!r}: add it to church.services.audit.ACTIONS")
    session.add(
        AuditEntry(
            at=utc_now(),
            action=action,
            via=via,
            actor_id=actor_id,
            subject_id=subject_id,
            detail=detail,
            address=address,
            request_id=telemetry.request_id(),
        )
    )


def record_by(session: Session, action: str, actor: Actor, subject_id: int | None = None, **detail: Any) -> None:
    """Like ``record``, for an ``actor``."""
    record(
        session,
        action,
        via=actor.via,
        actor_id=actor.user_id,
        subject_id=subject_id,
        address=actor.address,
        **detail,
    )


def forget_traces(session: Session, user_id: int) -> None:
    """Remove what leads from a deleted member's entries to other records, in the caller's write transaction.

    All lose the id of their request, by which the logs are found. Entries about the member's own actions lose the IP
    address, too. Those of what an admin did to others, or what admins did to the member, keep theirs: admins are
    accountable.
    """
    about = or_(AuditEntry.subject_id == user_id, AuditEntry.actor_id == user_id)
    by_themselves = or_(AuditEntry.actor_id == user_id, AuditEntry.actor_id.is_(None))
    for change in (
        update(AuditEntry).where(about).values(request_id=None),
        update(AuditEntry).where(AuditEntry.subject_id == user_id, by_themselves).values(address=None),
    ):
        session.execute(change.execution_options(synchronize_session=False))


def list_entries(
    action: str | None = None, subject_ref: str | None = None, place: Place = NEWEST
) -> ListPage[AuditView]:
    """List the entries, newest first, optionally of one action or about one account."""
    query = _entries()
    if action:
        query = query.where(AuditEntry.action == action)
    if subject_ref:
        query = query.where(AuditEntry.subject_id == select(User.id).where(User.ref == subject_ref).scalar_subquery())
    with db.read() as session:
        found = fetch_page(session, query, AuditEntry.id, AuditEntry.at, place)
    return found.convert(lambda row: _view(row[0], _person(*row[1:3]), _person(*row[3:5])))


def list_of_request(session: Session, request_id: str, most: int) -> list[AuditView]:
    """The entries that one request has written, oldest first."""
    query = _entries().where(AuditEntry.request_id == request_id).order_by(AuditEntry.id).limit(most)
    return [_view(row[0], _person(*row[1:3]), _person(*row[3:5])) for row in session.execute(query)]


def _entries() -> Any:
    """Entries with the ref and name of who acted and of whom they are about."""
    actor, subject = aliased(User), aliased(User)
    return (
        select(AuditEntry, actor.ref, actor.name, subject.ref, subject.name)
        .outerjoin(actor, actor.id == AuditEntry.actor_id)
        .outerjoin(subject, subject.id == AuditEntry.subject_id)
    )


def _person(ref: str | None, name: str | None) -> Person | None:
    return Person(ref, name or "") if ref is not None else None


def _view(entry: AuditEntry, actor: Person | None, subject: Person | None) -> AuditView:
    return AuditView(
        id=entry.id,
        at=entry.at,
        action=entry.action,
        via=entry.via,
        actor=actor,
        subject=subject,
        detail=entry.detail,
        address=entry.address,
        request_id=entry.request_id,
    )
