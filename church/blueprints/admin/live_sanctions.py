"""Chat sanctions: list them, mute or ban a member, lift a sanction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flask import Response, url_for

from church.blueprints.admin.area import bp, render_answer
from church.blueprints.admin.list_filters import read_place, read_text
from church.errors import ChurchError, ConflictError, FieldErrors
from church.models.base import utc_now
from church.models.chat import SanctionKind
from church.services import chat
from church.services.accounts import UnknownMemberError
from church.web.error_pages import wants_json
from church.web.forms import Fields, read_fields
from church.web.rate_limits import limited
from church.web.responses import current_actor, respond_done
from church.web.route_access import ADMINS, allow

_DURATIONS = {
    "hour": (timedelta(hours=1), "an hour"),
    "day": (timedelta(days=1), "a day"),
    "week": (timedelta(days=7), "a week"),
    "month": (timedelta(days=30), "30 days"),
    "lifted": (None, "until lifted"),
}
_EVERYWHERE = "all"
_ACTIONS = {SanctionKind.MUTE: chat.mute_member, SanctionKind.BAN: chat.ban_member}
_FIELDS = ("member", "kind", "room", "lasts", "reason")


@bp.get("/live/sanctions")
@allow(ADMINS)
@limited("page")
def live_sanctions() -> Response:
    """List the sanctions in force, optionally of one ``member``; ``member`` and ``room`` also fill in the form."""
    return _show_page(read_text("member") or None, {"member": read_text("member"), "room": read_text("room")})


@bp.post("/live/sanctions")
@allow(ADMINS)
@limited("account")
def live_sanction() -> Response:
    """Mute or ban a ``member``, in one ``room`` or in all."""
    sent = read_fields()
    try:
        sanction_id = _apply(sent)
    except (FieldErrors, ConflictError, UnknownMemberError, chat.UnknownRoomError) as error:
        if wants_json():
            raise
        return _show_page(None, sent.shown(*_FIELDS), error)
    return respond_done("Applied.", url_for("admin.live_sanctions"), sanction=sanction_id)


@bp.post("/live/sanctions/<int(max=9223372036854775807):sanction_id>/lift")
@allow(ADMINS)
@limited("account")
def live_lift(sanction_id: int) -> Response:
    """End a sanction at once."""
    chat.lift_sanction(sanction_id, current_actor())
    return respond_done("Lifted.", url_for("admin.live_sanctions"))


def _apply(sent: Fields) -> int:
    ref, kind, room = sent.text("member", 32), sent.text("kind", 8), sent.text("room", 64)
    lasts, reason = sent.text("lasts", 8), sent.text("reason", 2 * chat.MAX_REASON_LENGTH, required=False)
    if kind not in set(SanctionKind):
        sent.errors.setdefault("kind", "Choose mute or ban.")
    if lasts not in _DURATIONS:
        sent.errors.setdefault("lasts", "Choose a duration.")
    sent.check()
    duration, _ = _DURATIONS[lasts]
    until = utc_now() + duration if duration is not None else None
    only_room = room if room != _EVERYWHERE else None
    return _ACTIONS[SanctionKind(kind)](ref.strip(), only_room, until, reason, current_actor())


def _show_page(ref: str | None, values: Mapping[str, str], error: ChurchError | None = None) -> Response:
    errors = error.errors if isinstance(error, FieldErrors) else {}
    form = {
        "values": values,
        "errors": errors,
        "problem": None if errors or error is None else str(error),
        "kinds": (("mute", "mute: can read, cannot write"), ("ban", "ban: cannot enter")),
        "rooms": ((_EVERYWHERE, "all rooms"), *((name, name) for name in chat.list_newest_changes())),
        "spans": tuple((name, label) for name, (_, label) in _DURATIONS.items()),
    }
    data = {"sanctions": chat.list_sanctions(ref, read_place()).as_data()}
    return render_answer(
        "admin/live_sanctions.html", data, error.status if error is not None else 200, member=ref, **form
    )
