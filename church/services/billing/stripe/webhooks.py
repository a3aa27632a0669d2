"""Process webhooks: check the signature, store the event, fetch from Stripe, write in one transaction, answer.

Only a finished event is answered 2xx. A failure is stored with its reason and answered 5xx, so Stripe sends it again.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from church import telemetry
from church.config import current_settings
from church.database import database_now
from church.errors import UnavailableError
from church.extensions import db
from church.models import StripeEvent
from church.models.billing import EventState
from church.services.billing import account_data, emails, unmatched_payments
from church.services.billing.errors import NotOursError, PaymentsOffError, StripeDownError, StripeRefusedError
from church.services.billing.stripe import apply_to_database, event_store
from church.services.billing.stripe.client import gateway
from church.services.billing.stripe.event_store import Claim, EventProgress, LeaseLostError
from church.services.billing.stripe.event_types import (
    IncomingEvent,
    MalformedEventError,
    parse_event,
    read_event,
    shorten_payload,
)
from church.services.billing.stripe.fetch import Fetcher, is_deleted
from church.services.billing.stripe.owners import UnmatchedPaymentError

__all__ = ["Outcome", "process_webhook", "replay"]

log = logging.getLogger("church.stripe")

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Outcome:
    """The result of a delivery: ``status`` as it is counted, and the HTTP status of the answer to Stripe."""

    status: str
    """``processed``, ``duplicate``, ``ignored``, ``failed`` or ``invalid_signature``."""
    http: int = 200
    reason: str | None = None


def process_webhook(raw: bytes, signature: str | None) -> Outcome:
    """Process the webhook ``raw`` if its ``Stripe-Signature`` is valid. Counts every delivery once.

    Raises DatabaseDownError and DatabaseBusyError, which are answered 503 too.
    """
    try:
        check_signature(raw, signature, current_settings().webhook_secrets, time.time())
    except SignatureError as error:
        telemetry.track_security_event("webhook_forged", "high", reason=str(error))
        telemetry.track_stripe_webhook("other", "invalid_signature")
        return Outcome("invalid_signature", 400, str(error))
    try:
        event = parse_event(raw)
    except ValueError:
        return _track("other", Outcome("ignored", 400, "no JSON object"))
    except MalformedEventError as error:
        return _track("other", Outcome("ignored", 200, f"without {error}"))
    with telemetry.span("stripe.webhook", event_type=event.type, event_id=event.stripe_id):
        try:
            return _track(event.type, _deliver(event), event)
        except UnavailableError:
            _track(event.type, Outcome("failed", 503, "the database does not answer"), event)
            raise
        except Exception as error:
            _track(event.type, Outcome("failed", 500, f"unexpected: {type(error).__name__}"), event)
            raise


def replay(event_id: int) -> Outcome:
    """Process a stored event again, whatever its state. Changes nothing if it was processed correctly before.

    Raises LookupError where there is no such event, PaymentsOffError, and what a delivery raises.
    """
    if not current_settings().payments:
        raise PaymentsOffError
    with db.read() as session:
        row = session.get(StripeEvent, event_id)
        if row is None:
            raise LookupError(f"there is no webhook event {event_id}")
        event = read_event(row.payload, kept=row.payload)
    if event.problem is not None:
        return Outcome("ignored", 200, event.problem)
    claim = event_store.reclaim_event(event_id)
    return _work(event, claim) if claim is not None else Outcome("failed", 503, "it is being processed right now")


def _deliver(event: IncomingEvent) -> Outcome:
    if event.problem is not None:
        fresh = event_store.store_ignored_event(event, event.problem)
        return Outcome("ignored" if fresh else "duplicate", 200, event.problem)
    claim: Claim | EventProgress = event_store.claim_event(event)
    if claim is EventProgress.BUSY:
        claim = event_store.wait_for_claim(event.stripe_id)
    if isinstance(claim, Claim):
        return _work(event, claim)
    if claim is EventProgress.DONE:
        return Outcome("duplicate")
    return Outcome(
        "failed", 503, f"another delivery of it {'failed' if claim is EventProgress.FAILED else 'is under way'}"
    )


def _work(event: IncomingEvent, claim: Claim) -> Outcome:
    """Process a claimed event; store the reason if that fails."""
    try:
        return _process(event, claim)
    except NotOursError as error:
        return _ignore(event, claim, error)
    except StripeDownError:
        return _close(claim, EventState.FAILED, Outcome("failed", 503, "Stripe does not answer"))
    except StripeRefusedError as error:
        return _close(claim, EventState.FAILED, Outcome("failed", 503, error.reason))
    except LeaseLostError:
        return Outcome("failed", 503, "it took so long that another delivery took over")
    except UnavailableError:
        raise  # the database is down; the lease runs out
    except Exception as error:
        log.exception("webhook failed", extra={"event": "stripe.webhook_failed", "stripe_event": event.type})
        return _close(
            claim, EventState.FAILED, Outcome("failed", 500, f"unexpected: {type(error).__name__}; see the log")
        )


def _process(event: IncomingEvent, claim: Claim) -> Outcome:
    """Fetch from Stripe, then write everything in one transaction."""
    fetcher = Fetcher(gateway(), claim.started_at, owners={event.customer: claim.owner_id})
    fetcher.facts.payment_failed = event.type == "checkout.session.async_payment_failed"
    if event.type == "customer.deleted":
        fetcher.facts.deleted_customer = event.object
    facts = fetcher.about(event.object_kind or "", event.object_id or "", event.customer)
    with db.write() as session:
        now = database_now(session)
        sends_email = event.type in emails.EVENTS and event_store.is_unprocessed(session, claim)
        payload = shorten_payload(event.payload) if is_deleted(session, facts.owner_id) else None
        event_store.finish_event(session, claim, EventState.PROCESSED, now, payload=payload)
        applied = apply_to_database.apply_facts(session, facts, now)
        if applied.new_customer:
            unmatched_payments.settle_customer(session, facts.customer_id or "")
        # asked again: now the customer is locked, and a deletion of the account has ended or waits
        if facts.owner_id is not None and facts.has_open_subscription() and is_deleted(session, facts.owner_id):
            account_data.queue_cancellation(session, facts.owner_id)
        if sends_email:
            emails.queue_email(session, event, claim.event_id, facts, now)
    if applied.stale:
        log.info("newer objects are stored already", extra={"event": "stripe.stale", "count": applied.stale})
    return Outcome("processed")


def _ignore(event: IncomingEvent, claim: Claim, error: NotOursError) -> Outcome:
    """Close an event that is not about a member: store nothing of the people in it but a payment for a plan."""
    outcome, shortened = Outcome("ignored", 200, str(error)), shorten_payload(event.payload)
    try:
        with db.write() as session:
            now = database_now(session)
            event_store.finish_event(session, claim, EventState.IGNORED, now, outcome.reason, shortened)
            if isinstance(error, UnmatchedPaymentError):
                unmatched_payments.keep_payment(session, error.payer, now)
            elif event.type == "customer.deleted":
                unmatched_payments.end_payments_of(session, event.object_id or "", now)
    except LeaseLostError:
        return Outcome("failed", 503, outcome.reason)
    return outcome


def _close(claim: Claim, state: EventState, outcome: Outcome) -> Outcome:
    """Store why processing ended, unless another delivery has taken over."""
    try:
        with db.write() as session:
            event_store.finish_event(session, claim, state, database_now(session), outcome.reason)
    except LeaseLostError:
        return Outcome("failed", 503, outcome.reason)
    return outcome


def _track(event_type: str, outcome: Outcome, event: IncomingEvent | None = None) -> Outcome:
    """Count and log the delivery; the lag of an event is recorded when it is processed."""
    lag = None
    if event is not None and outcome.status == "processed" and event.created_at > _EPOCH:
        lag = (datetime.now(UTC) - event.created_at).total_seconds()
    fields = {"reason": outcome.reason} if outcome.reason else {}
    if event is not None:
        fields["stripe_id"] = event.stripe_id
    telemetry.track_stripe_webhook(event_type, outcome.status, lag, **fields)
    return outcome


# -- signatures -------------------------------------------------------------------------------------------------------

TOLERANCE = 300  # seconds
_LONGEST_HEADER = 2048
_MOST_SIGNATURES = 8


class SignatureError(Exception):
    """An invalid webhook signature; its text is ``missing``, ``malformed``, ``wrong`` or ``stale``."""


def check_signature(raw: bytes, header: str | None, secrets: Sequence[str], now: float) -> None:
    """Raise SignatureError unless ``raw`` was signed with one of ``secrets`` within 300 s of ``now``."""
    if not header:
        raise SignatureError("missing")
    timestamp, signatures = _split_header(header)
    signed = timestamp.encode() + b"." + raw
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in secrets]
    # A list and no generator: the time taken must not show which secret or signature matched.
    if not any([hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures]):  # noqa: C419
        raise SignatureError("wrong")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise SignatureError("stale")


def _split_header(header: str) -> tuple[str, list[bytes]]:
    """Return the timestamp and the signatures of the only valid scheme, v1."""
    timestamps, signatures = [], []
    for item in header[:_LONGEST_HEADER].split(","):
        name, _, value = item.strip().partition("=")
        if name == "t":
            timestamps.append(value)
        elif name == "v1":
            signatures.append(value.encode("utf-8", "replace"))
    if len(timestamps) != 1 or not (timestamps[0].isascii() and timestamps[0].isdigit() and len(timestamps[0]) <= 12):
        raise SignatureError("malformed")
    return timestamps[0], signatures[:_MOST_SIGNATURES]
