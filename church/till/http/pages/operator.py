"""The operator's page, and its forms for tests.

``POST`` form fields to these addresses; with ``Accept: application/json`` the response is the state as JSON.

- ``/operator/clock``: ``days`` or ``hours`` (whole, at most 800 days), or ``to=renewal`` for the next renewal.
- ``/operator/knobs``: any of ``decline duplicates disorder down api_down`` (``on`` or empty), ``delay`` and
  ``api_delay`` (seconds). Missing fields stay unchanged; with ``all=1``, which the page sends, missing
  switches are turned off.
- ``/operator/refund``: ``charge``, and ``amount`` in minor units for a part. ``/operator/refund/fail``: ``refund``.
- ``/operator/dispute``: ``charge`` opens one; ``dispute`` and ``outcome`` (``won`` or ``lost``) decides it.
- ``/operator/resend``: ``event``, or ``failed=1`` for all pending ones.

``GET /operator/state`` is the clock, the knobs and the number of pending deliveries.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response

from church.till.billing.cycle import find_next_renewal, process_due
from church.till.billing.periods import DAY
from church.till.billing.refunding import close_dispute, fail_refund, open_dispute, refund_charge
from church.till.desk import Till, current_till
from church.till.http.errors import TillError
from church.till.http.params import Params
from church.till.http.sending import list_deliveries, resend
from church.till.store import Obj

bp = Blueprint("operator", __name__)
SWITCHES = ("decline", "duplicates", "disorder", "down", "api_down")
SECONDS = ("delay", "api_delay")
_MAX_STEP = 800 * DAY


def _state(till: Till) -> Obj:
    pending = till.store.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'")[0][0]
    return {
        "now": till.now,
        "ahead": int(till.store.get_knob("clock", "0")),
        "next_renewal": find_next_renewal(till),
        "pending": pending,
        **{name: bool(till.store.get_knob(name)) for name in SWITCHES},
        **{name: float(till.store.get_knob(name, "0")) for name in SECONDS},
    }


@bp.get("/operator/state")
def state() -> Response:
    """Return the till's state as JSON."""
    with current_till().store.transaction():
        return jsonify(_state(current_till()))


@bp.get("/")
def show() -> str:
    """Show the controls and the latest objects and deliveries."""
    with current_till().store.transaction():
        till = current_till()
        return render_template(
            "operator.html",
            state=_state(till),
            subscriptions=list(till.store.all("subscription"))[:20],
            charges=[charge for charge in till.store.all("charge") if charge["paid"]][:20],
            disputes={item["charge"]: item for item in till.store.all("dispute")},
            refunds=list(till.store.all("refund"))[:20],
            deliveries=list_deliveries(till, 50),
        )


def _action(rule: str) -> Callable[[Callable[[Till, Params], object]], object]:
    def add(act: Callable[[Till, Params], object]) -> object:
        def view() -> Response:
            params = Params(dict(request.form.items()))
            with current_till().store.transaction():
                act(current_till(), params)
                if request.accept_mimetypes.best == "application/json":
                    return jsonify(_state(current_till()))
            return redirect("/", 303)

        bp.add_url_rule(f"/operator/{rule}", rule, view, methods=["POST"])
        return act

    return add


@_action("clock")
def _move_clock(till: Till, params: Params) -> None:
    """Move the clock forward and process everything that becomes due."""
    if params.text("to") == "renewal":
        goal = find_next_renewal(till)
        if goal is None:
            raise TillError("There is nothing to renew.")
        step = max(0, goal - till.now)
    else:
        step = (params.number("days") or 0) * DAY + (params.number("hours") or 0) * 3600
    if not 0 <= step <= _MAX_STEP:
        raise TillError("The clock moves only forward, by at most 800 days.")
    till.store.set_knob("clock", str(int(till.store.get_knob("clock", "0")) + step))
    process_due(till)


@_action("knobs")
def _set_knobs(till: Till, params: Params) -> None:
    for name in SWITCHES:
        if name in params or "all" in params:
            till.store.set_knob(name, "on" if params.text(name) else "")
    for name in SECONDS:
        if name in params:
            till.store.set_knob(name, str(_seconds(params.text(name) or "0")))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise TillError("A delay must be from 0 to 3600 seconds.")
    return seconds


@_action("refund")
def _refund(till: Till, params: Params) -> None:
    refund_charge(till, till.get("charge", params.required("charge"), "charge"), params.number("amount"))


@_action("refund/fail")
def _fail_refund(till: Till, params: Params) -> None:
    fail_refund(till, till.get("refund", params.required("refund"), "refund"))


@_action("dispute")
def _dispute(till: Till, params: Params) -> None:
    if "dispute" in params:
        close_dispute(till, till.get("dispute", params.text("dispute"), "dispute"), params.required("outcome"))
    else:
        open_dispute(till, till.get("charge", params.required("charge"), "charge"))


@_action("resend")
def _resend(till: Till, params: Params) -> None:
    resend(till, params.text("event"))
