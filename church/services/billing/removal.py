"""A checkout that is open when its member's account is deleted: nobody may pay there any more.

What the member already pays for is cancelled by ``billing_leaving``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church import jobs
from church.models import Checkout, User
from church.models.checkout import CheckoutState
from church.services.accounts.data_registry import on_delete
from church.services.billing.stripe.client import gateway

_EXPIRE_ATTEMPTS = 20


@on_delete
def abandon(session: Session, user: User) -> None:
    """Have the checkouts of a deleted account closed, in the transaction that deletes it."""
    query = select(Checkout).where(Checkout.user_id == user.id, Checkout.state == CheckoutState.OPEN.value)
    for row in session.scalars(query):
        if row.stripe_session is not None:
            jobs.enqueue(session, "billing.abandon", {"session": row.stripe_session}, max_attempts=_EXPIRE_ATTEMPTS)


@jobs.handler("billing.abandon")
def close(payload: dict[str, Any]) -> None:
    """Close a session. One that was paid meanwhile is told by its webhook, which cancels what it began."""
    found = gateway().call("checkout.sessions.retrieve", str(payload["session"]))
    if found.get("status") == "open":
        gateway().call("checkout.sessions.expire", str(payload["session"]))
