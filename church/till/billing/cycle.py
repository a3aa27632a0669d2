"""Process what is due: ends of trials, renewals, payment retries and cancellations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from church.till.billing.cards import PAID
from church.till.billing.checkout import close_expired_session
from church.till.billing.collecting import collect_payment
from church.till.billing.ending import end_subscription, get_period_end
from church.till.billing.holding import drop_pending_change
from church.till.billing.periods import DAY
from church.till.billing.renewing import renew_subscription
from church.till.billing.scheduling import get_phase_end, start_next_phase
from church.till.billing.subscribing import ENDED, UPDATED, update_after_payment
from church.till.desk import Till
from church.till.store import Obj

_TRIAL_WARNING = 3 * DAY  # before the end of a trial
_MAX_STEPS = 20_000

Due = tuple[int, int, Obj, Callable[[Till, Obj], object]]


def process_due(till: Till, until: int | None = None) -> int:
    """Process everything due by ``until`` (default: now), each at its own time, and return how much there was."""
    goal = till.now if until is None else until
    for count in range(_MAX_STEPS):
        due = [entry for entry in _upcoming(till) if entry[0] <= goal]
        if not due:
            return count
        at, _, obj, act = min(due, key=lambda entry: entry[:2])
        with till.at_time(at):
            act(till, obj)
    raise RuntimeError(f"more than {_MAX_STEPS} steps are due: something repeats without an end")


def find_next_renewal(till: Till) -> int | None:
    """Return the time of the next renewal of any subscription, or None."""
    times = [get_period_end(subscription) for subscription in _running(till) if subscription["status"] != "paused"]
    return min(times, default=None)


def _running(till: Till) -> list[Obj]:
    return [subscription for subscription in till.store.all("subscription") if subscription["status"] not in ENDED]


def _upcoming(till: Till) -> Iterator[Due]:
    """Yield everything that will be due, with its time; at the same time the lower number comes first."""
    for subscription in _running(till):
        if subscription["cancel_at"] is not None:
            yield subscription["cancel_at"], 0, subscription, _cancel
        if subscription["status"] == "trialing" and not till.store.get(f"warned_{subscription['id']}"):
            yield max(subscription["trial_end"] - _TRIAL_WARNING, subscription["trial_start"]), 0, subscription, _warn
        if subscription["pending_update"] is not None:
            yield subscription["pending_update"]["expires_at"], 1, subscription, drop_pending_change
        if resumes_at := (subscription["pause_collection"] or {}).get("resumes_at"):
            yield resumes_at, 1, subscription, _resume_collection
        if subscription["status"] != "paused":
            yield get_period_end(subscription), 2, subscription, renew_subscription
    for schedule in till.store.all("subscription_schedule", status="active"):
        yield get_phase_end(schedule), 1, schedule, start_next_phase
    for invoice in till.store.all("invoice", status="open"):
        if invoice["next_payment_attempt"] is not None:
            yield invoice["next_payment_attempt"], 3, invoice, _retry
        if invoice["due_date"] is not None and not till.store.get(f"overdue_{invoice['id']}"):
            yield invoice["due_date"], 3, invoice, _mark_overdue
    for session in till.store.all("checkout.session", status="open"):
        yield session["expires_at"], 4, session, close_expired_session


def _cancel(till: Till, subscription: Obj) -> None:
    end_subscription(till, subscription, "cancellation_requested")


def _warn(till: Till, subscription: Obj) -> None:
    till.emit("customer.subscription.trial_will_end", subscription)
    till.store.put({"id": f"warned_{subscription['id']}", "object": "till.note"})


def _resume_collection(till: Till, subscription: Obj) -> None:
    till.change(subscription, UPDATED, pause_collection=None)


def _mark_overdue(till: Till, invoice: Obj) -> None:
    """Mark the subscription of an invoice past due that was to be paid by hand, and is not."""
    till.store.put({"id": f"overdue_{invoice['id']}", "object": "till.note"})
    subscription = till.get("subscription", invoice["parent"]["subscription_details"]["subscription"])
    if subscription["status"] == "active":
        till.change(subscription, UPDATED, status="past_due")
    till.emit("invoice.overdue", invoice)


def _retry(till: Till, invoice: Obj) -> None:
    subscription = till.get("subscription", invoice["parent"]["subscription_details"]["subscription"])
    result = collect_payment(till, invoice)
    update_after_payment(till, subscription, invoice, result)
    if result != PAID and invoice["next_payment_attempt"] is None:
        end_subscription(till, subscription, "payment_failed")
