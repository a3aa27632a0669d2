"""Webhook events: what Stripe told, what came of it, and doing it again."""

from __future__ import annotations

import json

from flask import Response, url_for

from church.blueprints.admin.area import answer, bp
from church.blueprints.admin.list_filters import PAGE, listed, number, one_of
from church.errors import ConflictError, UnavailableError
from church.models.base import utc_now
from church.models.billing import EventState
from church.services import billing
from church.services.billing import admin_actions
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import actor, done
from church.web.route_access import ADMINS, allow


@bp.get("/membership/events")
@allow(ADMINS)
@limited("page")
def membership_events() -> Response:
    """The events in a state, newest first."""
    state = one_of(EventState, "state")
    found = listed(billing.list_events(state=state, before_id=number("before"), limit=PAGE + 1))
    data = {"events": found, "counts": billing.count_events()}
    return answer("admin/membership_events.html", data, state=state, states=list(EventState), now=utc_now())


@bp.get("/membership/events/<int(max=9223372036854775807):event_id>")
@allow(ADMINS)
@limited("page")
def membership_event(event_id: int) -> Response:
    """One event with what Stripe sent."""
    return _shown(event_id)


@bp.post("/membership/events/<int(max=9223372036854775807):event_id>/replay")
@allow(ADMINS)
@limited("account")
def membership_replay(event_id: int) -> Response:
    """Do the event again. What stands against it, or goes wrong again, is said above the event."""
    try:
        outcome = admin_actions.replay_event(event_id, actor())
    except (ConflictError, UnavailableError) as error:
        if wants_json():
            raise
        return _shown(event_id, str(error), error.status)
    said = f"Event {event_id} replayed: {outcome.status}" + (f", {outcome.reason}." if outcome.reason else ".")
    back = url_for("admin.membership_event", event_id=event_id)
    return done(said, back, outcome=outcome, event=admin_actions.read_event(event_id))


def _shown(event_id: int, problem: str | None = None, status: int = 200) -> Response:
    found = admin_actions.read_event(event_id)
    payload = json.dumps(found.payload, indent=2, ensure_ascii=False)
    return answer("admin/membership_event.html", {"event": found}, status, problem=problem, payload=payload)
