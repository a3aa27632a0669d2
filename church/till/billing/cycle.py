"""What time brings: trials end, periods renew, unpaid invoices are tried again, cancellations come due."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from church.till.billing.cards import PAID
from church.till.billing.checkout import expire
from church.till.billing.collecting import collect
from church.till.billing.ending import end, end_of_period
from church.till.billing.holding import drop
from church.till.billing.periods import DAY
from church.till.billing.renewing import renew
from church.till.billing.scheduling import next_moment, turn
from church.till.billing.subscribing import ENDED, settle
from church.till.desk import Desk
from church.till.store import Obj

_WARNING = 3 * DAY  # before the end of a trial
_MOST = 20_000

Due = tuple[int, int, Obj, Callable[[Desk, Obj], object]]


def catch_up(till: Desk, until: int | None = None) -> int:
    """Do all that is due by ``until`` (now, if not given), each at its own moment; how much that was."""
    goal = till.now if until is None else until
    for done in range(_MOST):
        waiting = [one for one in _due(till) if one[0] <= goal]
        if not waiting:
            return done
        at, _, obj, act = min(waiting, key=lambda one: one[:2])
        with till.moment(at):
            act(till, obj)
    raise RuntimeError("the test till's time does not come to rest")


def next_renewal(till: Desk) -> int | None:
    """When the next period of any subscription ends."""
    moments = [end_of_period(one) for one in _running(till) if one["status"] != "paused"]
    return min(moments, default=None)


def _running(till: Desk) -> list[Obj]:
    return [one for one in till.store.all("subscription") if one["status"] not in ENDED]


def _due(till: Desk) -> Iterator[Due]:
    """Everything that is to come, by moment; at the same moment the lower number is first."""
    for one in _running(till):
        if one["cancel_at"] is not None:
            yield one["cancel_at"], 0, one, _cancel
        if one["status"] == "trialing" and not till.store.get(f"warned_{one['id']}"):
            yield max(one["trial_end"] - _WARNING, one["trial_start"]), 0, one, _warn
        if one["pending_update"] is not None:
            yield one["pending_update"]["expires_at"], 1, one, drop
        if one["status"] != "paused":
            yield end_of_period(one), 2, one, renew
    for schedule in till.store.all("subscription_schedule", status="active"):
        yield next_moment(schedule), 1, schedule, turn
    for invoice in till.store.all("invoice", status="open"):
        if invoice["next_payment_attempt"] is not None:
            yield invoice["next_payment_attempt"], 3, invoice, _try_again
    for session in till.store.all("checkout.session", status="open"):
        yield session["expires_at"], 4, session, expire


def _cancel(till: Desk, subscription: Obj) -> None:
    end(till, subscription, "cancellation_requested")


def _warn(till: Desk, subscription: Obj) -> None:
    till.tell("customer.subscription.trial_will_end", subscription)
    till.store.put({"id": f"warned_{subscription['id']}", "object": "till.note"})


def _try_again(till: Desk, invoice: Obj) -> None:
    subscription = till.get("subscription", invoice["parent"]["subscription_details"]["subscription"])
    said = collect(till, invoice)
    settle(till, subscription, invoice, said)
    if said != PAID and invoice["next_payment_attempt"] is None:
        end(till, subscription, "payment_failed")
