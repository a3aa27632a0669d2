"""Delete an account: empty its row and remove its data. The audit log keeps the entries, without IP addresses.

The row gets another ref. Nothing in the database leads from it to what the logs, traces and errors have by the old one.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

from sqlalchemy import delete as delete_from
from sqlalchemy import select
from sqlalchemy.orm import Session

from church import jobs, telemetry
from church.database.batches import PAUSE
from church.extensions import db
from church.models import Link, SignIn, User
from church.models.accounts import Role
from church.models.base import utc_now
from church.services import audit, sessions
from church.services import email as email_service
from church.services.accounts import data_registry, find_account
from church.services.accounts.members import require_another_admin
from church.services.accounts.profile import actor_of, check_current_password
from church.services.audit import Actor
from church.services.sessions import Device, SignedIn

KEEP_UNVERIFIED = timedelta(days=30)
_BATCH = 200  # accounts in one transaction, so that other writers do not wait long

log = logging.getLogger("church.accounts")


def delete_account(signed_in: SignedIn, password: str, device: Device) -> None:
    """Delete the member's account permanently and confirm it by email.

    Raises FieldErrors for password, ConflictError for the last admin, BusyError.
    """
    user = check_current_password(signed_in, password, "password", device)
    with db.write() as session:
        require_another_admin(session, user)  # locks the admins before the account, as every change of one does
        user = find_account.lock_unchanged(session, user)
        email = user.email
        audit.record_by(session, "account.deleted", actor_of(signed_in, device), user.id)
        empty_account(session, user)
        if email is not None:
            email_service.queue_email(session, "account_deleted", recipient=email)
    telemetry.forget_user_ref()  # this request has queued the email to the address
    sessions.forget_cached()


def empty_account(session: Session, user: User) -> None:
    """Remove everything of a locked account except its row, in the caller's write transaction."""
    data_registry.delete_data(session, user)
    sessions.end_all(session, user.id)
    email_service.cancel_emails(session, user.id)
    session.execute(delete_from(Link).where(Link.user_id == user.id))
    audit.forget_traces(session, user.id)
    user.email = user.email_key = user.password_hash = None
    user.name, user.role, user.ref = "", Role.MEMBER.value, find_account.new_ref()
    user.deleted_at = utc_now()


@jobs.every(timedelta(days=1), "accounts.forget_unverified")
def delete_unverified(_payload: dict[str, Any]) -> None:
    """Delete accounts that registered on the web a month ago, were never verified, and are signed in nowhere."""
    count = 0
    while batch := _forget_batch():
        count += batch
        time.sleep(PAUSE)
    log.info("unverified accounts deleted", extra={"event": "accounts.forgotten", "count": count})


def _forget_batch() -> int:
    old = (
        select(User)
        .where(
            User.verified_at.is_(None),
            User.disabled_at.is_(None),
            User.deleted_at.is_(None),
            User.source == "web",
            User.role == Role.MEMBER.value,
            User.created_at < utc_now() - KEEP_UNVERIFIED,
            ~select(SignIn.id).where(SignIn.user_id == User.id).exists(),
        )
        .order_by(User.id)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    with db.write() as session:
        users = list(session.scalars(old))
        for user in users:
            audit.record_by(session, "account.deleted", Actor(via="site"), user.id, reason="never verified")
            empty_account(session, user)
        return len(users)
