"""A webhook's way: signature, event row, fetch from Stripe, one transaction, answer.

2xx is said only of what is done. Whatever fails keeps its reason and is answered 5xx, so that Stripe sends it again.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from church import telemetry
from church.config import current_settings
from church.database import database_now
from church.errors import UnavailableError
from church.extensions import db
from church.models import StripeEvent
from church.models.billing import EventState
from church.services.billing import account_data, emails
from church.services.billing.errors import NotOursError, PaymentsOffError, StripeDownError, StripeRefusedError
from church.services.billing.stripe import apply_to_database, event_store
from church.services.billing.stripe.client import gateway
from church.services.billing.stripe.event_store import Claim, LeaseLostError, Standing
from church.services.billing.stripe.event_types import Incoming, MalformedError, outline, parse, read
from church.services.billing.stripe.fetch import Gatherer

log = logging.getLogger("church.stripe")

__all__ = ["Outcome", "receive", "replay"]


_BEGINNING = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Outcome:
    """What came of a delivery: ``status`` as it is counted, and the HTTP status that tells Stripe."""

    status: str
    """``processed``, ``duplicate``, ``ignored``, ``failed`` or ``invalid_signature``."""
    http: int = 200
    reason: str | None = None


def receive(raw: bytes, signature: str | None) -> Outcome:
    """Do what the webhook ``raw`` says, if its ``Stripe-Signature`` is good; every delivery is counted once.

    Raises DatabaseDownError and DatabaseBusyError, which are answered with 503 too.
    """
    try:
        check_signature(raw, signature, current_settings().webhook_secrets, time.time())
    except SignatureError as error:
        telemetry.track_security_event("webhook_forged", "high", reason=str(error))
        telemetry.track_stripe_webhook("other", "invalid_signature")
        return Outcome("invalid_signature", 400, str(error))
    try:
        event = parse(raw)
    except ValueError:
        return _told("other", Outcome("ignored", 400, "no JSON object"))
    except MalformedError as error:
        return _told("other", Outcome("ignored", 200, f"without {error}"))
    with telemetry.span("stripe.webhook", event_type=event.type, event_id=event.stripe_id):
        try:
            return _told(event.type, _deliver(event), event)
        except UnavailableError:
            _told(event.type, Outcome("failed", 503, "the database does not answer"), event)
            raise
        except Exception as error:
            _told(event.type, Outcome("failed", 500, f"unexpected: {type(error).__name__}"), event)
            raise


def replay(event_id: int) -> Outcome:
    """Do a stored event again, whatever became of it; that changes nothing if all is well.

    Raises LookupError where there is no such event, PaymentsOffError, and what ``receive`` raises.
    """
    if not current_settings().payments:
        raise PaymentsOffError
    with db.read() as session:
        row = session.get(StripeEvent, event_id)
        if row is None:
            raise LookupError(f"there is no webhook event {event_id}")
        event = read(row.payload, kept=row.payload)
    if event.problem is not None:
        return Outcome("ignored", 200, event.problem)
    held = event_store.retake(event_id)
    return _work(event, held) if held is not None else Outcome("failed", 503, "it is being worked on right now")


def _deliver(event: Incoming) -> Outcome:
    if event.problem is not None:
        fresh = event_store.keep_ignored(event, event.problem)
        return Outcome("ignored" if fresh else "duplicate", 200, event.problem)
    held: Claim | Standing = event_store.claim(event)
    if held is Standing.BUSY:
        held = event_store.wait(event.stripe_id)
    if isinstance(held, Claim):
        return _work(event, held)
    if held is Standing.DONE:
        return Outcome("duplicate")
    return Outcome("failed", 503, "another delivery of it " + ("failed" if held is Standing.FAILED else "goes on"))


def _work(event: Incoming, held: Claim) -> Outcome:
    """Fetch, then write in one transaction; what goes wrong is kept with the event."""
    try:
        return _process(event, held)
    except NotOursError as error:
        nobodys = outline(event.payload)  # it may be of people who are no members: nothing of theirs is kept
        return _close(held, EventState.IGNORED, Outcome("ignored", 200, str(error)), nobodys)
    except StripeDownError:
        return _close(held, EventState.FAILED, Outcome("failed", 503, "Stripe does not answer"))
    except StripeRefusedError as error:
        return _close(held, EventState.FAILED, Outcome("failed", 503, error.reason))
    except LeaseLostError:
        return Outcome("failed", 503, "it took so long that another delivery took over")
    except UnavailableError:
        raise  # the database: its lease ends by itself
    except Exception as error:
        log.exception("webhook failed", extra={"event": "stripe.webhook_failed", "stripe_event": event.type})
        return _close(
            held, EventState.FAILED, Outcome("failed", 500, f"unexpected: {type(error).__name__}; see the log")
        )


def _process(event: Incoming, held: Claim) -> Outcome:
    gatherer = Gatherer(gateway(), held.started_at, owners={event.customer: held.owner_id})
    gatherer.facts.payment_failed = event.type == "checkout.session.async_payment_failed"
    facts = gatherer.about(event.object_kind or "", event.object_id or "", event.customer)
    with db.write() as session:
        now = database_now(session)
        is_news = emails.is_news(session, event, held.event_id)
        kept = outline(event.payload) if account_data.has_left(session, facts) else None
        event_store.finish(session, held, EventState.PROCESSED, now, payload=kept)
        applied = apply_to_database.apply(session, facts, now)
        account_data.cancel_if_left(session, facts)
        if is_news:
            emails.tell(session, event, held.event_id, now)
    if applied.stale:
        log.info("newer facts are known", extra={"event": "stripe.stale", "count": applied.stale})
    return Outcome("processed")


def _close(held: Claim, state: EventState, outcome: Outcome, payload: dict[str, Any] | None = None) -> Outcome:
    """Keep why it ended; a delivery that took over in the meantime has the last word."""
    try:
        with db.write() as session:
            event_store.finish(session, held, state, database_now(session), outcome.reason, payload)
    except LeaseLostError:
        return Outcome("failed", 503, outcome.reason)
    return outcome


def _told(event_type: str, outcome: Outcome, event: Incoming | None = None) -> Outcome:
    """Count the delivery; the age of an event is told once, when it is first done."""
    lag = None
    if event is not None and outcome.status == "processed" and event.created_at > _BEGINNING:
        lag = (datetime.now(UTC) - event.created_at).total_seconds()
    facts = {"reason": outcome.reason} if outcome.reason else {}
    if event is not None:
        facts["stripe_id"] = event.stripe_id
    telemetry.track_stripe_webhook(event_type, outcome.status, lag, **facts)
    return outcome


TOLERANCE = 300  # seconds
_LONGEST_HEADER = 2048
_MOST_SIGNATURES = 8


class SignatureError(Exception):
    """A webhook that is not to be believed; its text is ``missing``, ``malformed``, ``wrong`` or ``stale``."""


def check_signature(raw: bytes, header: str | None, secrets: Sequence[str], now: float) -> None:
    """Raise SignatureError unless ``raw`` was signed by one of ``secrets`` at most 300 s from ``now``."""
    if not header:
        raise SignatureError("missing")
    stamp, signatures = _parts(header)
    signed = stamp.encode() + b"." + raw
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in secrets]
    # No short cut: how long it takes says nothing of which secret or signature it was.
    if not any([hmac.compare_digest(mine, theirs) for mine in expected for theirs in signatures]):  # noqa: C419
        raise SignatureError("wrong")
    if abs(now - int(stamp)) > TOLERANCE:
        raise SignatureError("stale")


def _parts(header: str) -> tuple[str, list[bytes]]:
    """The timestamp and the signatures of the one scheme that is good, v1."""
    stamps, signatures = [], []
    for item in header[:_LONGEST_HEADER].split(","):
        name, _, value = item.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1":
            signatures.append(value.encode("utf-8", "replace"))
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) <= 12):
        raise SignatureError("malformed")
    return stamps[0], signatures[:_MOST_SIGNATURES]
