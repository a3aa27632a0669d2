"""Security: the networks that are blocked, and forms to block one and to lift a block."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from flask import Response, url_for

from church.blueprints.admin.area import Group, bp, render_answer, section
from church.blueprints.admin.list_filters import read_place, read_text
from church.errors import ChurchError, ConflictError, FieldErrors
from church.models.base import utc_now
from church.services import blocks as service
from church.web import blocks
from church.web.error_pages import wants_json
from church.web.forms import Fields, read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow

_BY_DATE = "date"
_SPANS = {
    "hour": (timedelta(hours=1), "1 hour"),
    "day": (timedelta(days=1), "1 day"),
    "month": (timedelta(days=30), "30 days"),
}
_FIELDS = ("network", "lasts", "until", "reason")
_LONGEST_NETWORK = 64


@bp.get("/security")
@section("Security", Group.WATCH, 50)
@allow(ADMINS)
@limited("page")
def security() -> Response:
    """List the blocks in force; ``network`` fills in the form."""
    return _show_page({"network": read_text("network", _LONGEST_NETWORK)})


@bp.post("/security/blocks")
@allow(ADMINS)
@limited("account")
def security_block() -> Response:
    """Block an address or network, for a time or until the end of a day in UTC."""
    sent = read_fields()
    try:
        network = _block(sent)
    except (FieldErrors, ConflictError) as error:
        if wants_json():
            raise
        return _show_page(sent.shown(*_FIELDS), error)
    return respond_done(f"{network} is blocked.", url_for("admin.security"), network=network)


@bp.post("/security/blocks/lift")
@allow(ADMINS)
@limited("account")
def security_unblock() -> Response:
    """Lift the block of a network."""
    sent = read_fields()
    text = sent.text("network", _LONGEST_NETWORK)
    sent.check()
    network = blocks.unblock(text, current_actor())
    return respond_done(f"{network} is no longer blocked.", url_for("admin.security"), network=network)


def _block(sent: Fields) -> str:
    network, lasts = sent.text("network", _LONGEST_NETWORK), sent.text("lasts", 8)
    reason = sent.text("reason", 2 * service.MAX_REASON_LENGTH, required=False)
    until = _read_end(sent, lasts)
    sent.check()
    return blocks.block(network, until, reason, current_actor())


def _read_end(sent: Fields, lasts: str) -> datetime:
    """When the block ends: after one of the usual spans, or with the day in ``until``. Notes errors in ``sent``."""
    now = utc_now()
    if lasts in _SPANS:
        return now + _SPANS[lasts][0]
    if lasts != _BY_DATE:
        sent.errors.setdefault("lasts", "Choose how long.")
        return now
    try:
        day = date.fromisoformat(sent.text("until", 10))
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        sent.errors["until"] = "Choose a day, such as 2026-05-31."
        return now


def _show_page(values: Mapping[str, str], error: ChurchError | None = None) -> Response:
    errors = error.errors if isinstance(error, FieldErrors) else {}
    form = {
        "values": values,
        "errors": errors,
        "problem": None if errors or error is None else str(error),
        "spans": (*((name, words) for name, (_, words) in _SPANS.items()), (_BY_DATE, "until the end of a day")),
        "most": service.MAX_REASON_LENGTH,
    }
    data = {"blocks": service.list_active(read_place()).as_data()}
    return render_answer("admin/watch/security.html", data, error.status if error is not None else 200, **form)
