"""What an admin decides about an error: resolved, ignored, or open after all."""

from __future__ import annotations

from sqlalchemy import select

from church.errors import NotFoundError
from church.extensions import db
from church.models import ErrorGroup
from church.models.base import utc_now
from church.models.error_groups import ErrorState
from church.services import audit
from church.services.audit import Actor

_ACTIONS = {
    ErrorState.OPEN: "error.reopened",
    ErrorState.RESOLVED: "error.resolved",
    ErrorState.IGNORED: "error.ignored",
}


def change_state(fingerprint: str, state: ErrorState, actor: Actor) -> bool:
    """Set the state of a group; returns whether it was another. Raises NotFoundError.

    A resolved error opens again with its next occurrence.
    """
    with db.write() as session:
        query = select(ErrorGroup).where(ErrorGroup.fingerprint == fingerprint).with_for_update()
        group = session.scalars(query).first()
        if group is None:
            raise NotFoundError
        if group.state == state.value:
            return False
        group.state = state.value
        group.resolved_at = utc_now() if state is ErrorState.RESOLVED else None
        group.emailed_at = group.emailed_at or utc_now()  # whoever decides has seen it
        audit.record_by(session, _ACTIONS[state], actor, error=fingerprint, place=group.place)
    return True
