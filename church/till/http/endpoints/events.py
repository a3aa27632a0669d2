"""Events: what was, or is still to be, delivered."""

from __future__ import annotations

from church.till.desk import Desk
from church.till.http.api import endpoint
from church.till.http.lists import PAGING, page
from church.till.http.params import Params
from church.till.store import Obj


@endpoint("GET", "/events/<event>")
def get_event(till: Desk, params: Params, event: str) -> Obj:
    """One event."""
    return till.get("event", event)


@endpoint("GET", "/events")
def list_events(till: Desk, params: Params) -> Obj:
    """Events, by type (``invoice.*`` is all of a kind) and by whether the site has taken them."""
    params.only(f"{PAGING} delivery_success type types")
    types = [*params.texts("types"), *([params.text("type") or ""] if "type" in params else [])]
    delivered = params.flag("delivery_success")

    def wanted(event: Obj) -> bool:
        fits = not types or any(
            event["type"] == one or (one.endswith("*") and event["type"].startswith(one[:-1])) for one in types
        )
        return fits and (delivered is None or delivered == (event["pending_webhooks"] == 0))

    return page(till, params, "event", "/v1/events", wanted)
