"""Endpoints of events, delivered or pending."""

from __future__ import annotations

from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj


@endpoint("GET", "/events/<event>")
def get_event(till: Till, params: Params, event: str) -> Obj:
    """Return an event."""
    return till.get("event", event)


@endpoint("GET", "/events")
def list_events(till: Till, params: Params) -> Obj:
    """List events, by type (``invoice.*`` means all types of invoices) and by whether they were delivered."""
    params.allow(f"{PAGING} delivery_success type types")
    types = [*params.texts("types"), *([params.text("type") or ""] if "type" in params else [])]
    delivered = params.flag("delivery_success")

    def wanted(event: Obj) -> bool:
        matches = not types or any(
            event["type"] == name or (name.endswith("*") and event["type"].startswith(name[:-1])) for name in types
        )
        return matches and (delivered is None or delivered == (event["pending_webhooks"] == 0))

    return list_page(till, params, "event", "/v1/events", wanted)
