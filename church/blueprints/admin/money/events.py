"""Stripe's webhook events: list them with their outcome, show one, replay one."""

from __future__ import annotations

import json

from flask import Response, url_for

from church.blueprints.admin.area import bp, render_answer
from church.blueprints.admin.list_filters import read_choice, read_place
from church.errors import ConflictError, UnavailableError
from church.models.base import utc_now
from church.models.billing import EventState
from church.services import billing
from church.web.error_pages import wants_json
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow


@bp.get("/membership/events")
@allow(ADMINS)
@limited("page")
def membership_events() -> Response:
    """List the events, newest first; optionally those in one state."""
    state = read_choice(EventState, "state")
    events = billing.list_events(state=state, place=read_place())
    data = {"events": events.as_data(), "counts": billing.count_events()}
    return render_answer("admin/money/events.html", data, state=state, states=list(EventState), now=utc_now())


@bp.get("/membership/events/<int(max=9223372036854775807):event_id>")
@allow(ADMINS)
@limited("page")
def membership_event(event_id: int) -> Response:
    """Show one event with its payload."""
    return _show_event(event_id)


@bp.post("/membership/events/<int(max=9223372036854775807):event_id>/replay")
@allow(ADMINS)
@limited("account")
def membership_replay(event_id: int) -> Response:
    """Process the event again. An error is shown on the event's page."""
    try:
        outcome = billing.replay_event(event_id, current_actor())
    except (ConflictError, UnavailableError) as error:
        if wants_json():
            raise
        return _show_event(event_id, str(error), error.status)
    message = f"Event {event_id} replayed: {outcome.status}" + (f", {outcome.reason}." if outcome.reason else ".")
    back = url_for("admin.membership_event", event_id=event_id)
    return respond_done(message, back, outcome=outcome, event=billing.read_event(event_id))


def _show_event(event_id: int, problem: str | None = None, status: int = 200) -> Response:
    event = billing.read_event(event_id)
    payload = json.dumps(event.payload, indent=2, ensure_ascii=False)
    return render_answer("admin/money/event.html", {"event": event}, status, problem=problem, payload=payload)
