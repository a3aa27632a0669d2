"""How payments stand, for the doctor and the admin area: who is paid, whether webhooks come, what there is to buy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from church.config import Settings
from church.database import database_now
from church.models import Product, StripeEvent
from church.models.billing import EventState

LATELY = timedelta(days=1)
_OFF = "off: STRIPE_SECRET_KEY is not set, so nobody can pay"
_TOLD = "find the cause at /admin/membership/events, fix it, then run flask church stripe replay --failed"


@dataclass(frozen=True)
class PaymentFacts:
    """What the database says. ``failed`` counts the events of the last day that came to nothing."""

    failed: int
    last_webhook: datetime | None
    plans: int


@dataclass(frozen=True)
class PaymentHealth:
    """The verdict, all that was found, and the fix of the worst of it ("" where there is nothing to do)."""

    state: Literal["ok", "warn", "fail"]
    finding: str
    fix: str = ""


def payment_facts(session: Session) -> PaymentFacts:
    """Three short queries."""
    failed = (StripeEvent.state == EventState.FAILED.value, StripeEvent.received_at > database_now(session) - LATELY)
    return PaymentFacts(
        failed=session.scalar(select(func.count()).select_from(StripeEvent).where(*failed)) or 0,
        last_webhook=session.scalar(select(func.max(StripeEvent.received_at))),
        plans=session.scalar(select(func.count(Product.plan.distinct())).where(Product.active)) or 0,
    )


def payment_health(settings: Settings, facts: PaymentFacts) -> PaymentHealth:
    """Judge; pure. No part of a key or secret is in the words."""
    if not settings.payments:
        return PaymentHealth("ok", _OFF)
    parts = [_paid(settings), f"{facts.plans} plan{'s' * (facts.plans != 1)}", _last(facts)]
    if facts.failed:
        parts.append(f"{facts.failed} event{'s' * (facts.failed > 1)} failed within a day")
    for wrong, state, finding, fix in _troubles(settings, facts):
        if wrong:
            return PaymentHealth(state, "; ".join(filter(None, (*parts, finding))), fix)
    return PaymentHealth("ok", "; ".join(parts))


def _troubles(settings: Settings, facts: PaymentFacts) -> tuple[tuple[bool, Literal["warn", "fail"], str, str], ...]:
    """What may be wrong, the worst first: whether it is, how bad, what to add to the finding, what to do."""
    kind = _kind(settings)
    endpoint = f"set the webhook address at Stripe to {settings.origin}/stripe/webhook"
    start = "start it: make run, or python -m church.till"
    label = "add church_plan to the metadata of a Stripe product, then run flask church stripe sync"
    return (
        (not settings.webhook_secrets, "fail", "every webhook is rejected", "set STRIPE_WEBHOOK_SECRET"),
        (facts.failed > 0, "warn", "", _TOLD),
        (settings.production and kind != "live", "warn", "no real payments", "set STRIPE_SECRET_KEY to the live one"),
        (not settings.production and kind == "live", "warn", "payments are real", "use a test key for development"),
        (facts.last_webhook is None, "warn", "", start if settings.till else endpoint),
        (facts.plans == 0, "warn", "no plans for sale", start if settings.till else label),
    )


def _paid(settings: Settings) -> str:
    if settings.till:
        return f"test till at {settings.till_address}"
    return f"Stripe with a {_kind(settings)} key"


def _kind(settings: Settings) -> str:
    """What a key is for, by its beginning (https://docs.stripe.com/keys)."""
    return next((kind for kind in ("live", "test") if settings.stripe_key[2:].startswith(f"_{kind}_")), "strange")


def _last(facts: PaymentFacts) -> str:
    if facts.last_webhook is None:
        return "no webhook has come yet"
    return f"last webhook {facts.last_webhook:%Y-%m-%d %H:%M} UTC"
