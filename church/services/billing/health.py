"""Check payments for the doctor and the admin area: the key, the webhooks and the plans for sale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from church.config import Settings
from church.database import database_now
from church.models import Product, StripeEvent, Subscription
from church.models.billing import CURRENT_ONLY, EventState
from church.services.billing.unmatched_payments import count_open_unmatched

LATELY = timedelta(days=1)
_OFF = "off: STRIPE_SECRET_KEY is not set, so nobody can pay"
_TWICE = "open /admin/membership?several=1, ask the member which one to keep, and end the other on the member's page"
_REPLAY = "find the cause at /admin/membership/events, fix it, then run flask church stripe replay --failed"
_ASSIGN = "assign or dismiss them at /admin/membership/unmatched"


@dataclass(frozen=True)
class PaymentFacts:
    """What the database knows. ``failed`` counts the failed events of the last day."""

    failed: int
    last_webhook: datetime | None
    plans: int
    unmatched: int = 0
    """Payments for a plan whose payer is no member, which an admin has to decide about."""
    paying_twice: int = 0
    """Members who pay for several subscriptions at once."""


@dataclass(frozen=True)
class PaymentHealth:
    """State, what was found, and how to fix the worst problem ("" where there is none)."""

    state: Literal["ok", "warn", "fail"]
    finding: str
    fix: str = ""


def read_payment_facts(session: Session) -> PaymentFacts:
    """Read the facts, in four short queries."""
    failed = (StripeEvent.state == EventState.FAILED.value, StripeEvent.received_at > database_now(session) - LATELY)
    return PaymentFacts(
        failed=session.scalar(select(func.count()).select_from(StripeEvent).where(*failed)) or 0,
        last_webhook=session.scalar(select(func.max(StripeEvent.received_at))),
        plans=session.scalar(select(func.count(Product.plan.distinct())).where(Product.active)) or 0,
        unmatched=count_open_unmatched(session),
        paying_twice=session.scalar(select(func.count()).select_from(members_paying_twice().subquery())) or 0,
    )


def members_paying_twice() -> Select[Any]:
    """Select the ids of accounts with more than one current subscription."""
    return select(Subscription.user_id).where(CURRENT_ONLY).group_by(Subscription.user_id).having(func.count() > 1)


def check_payments(settings: Settings, facts: PaymentFacts) -> PaymentHealth:
    """Judge the facts, without I/O. The texts contain no part of a key or secret."""
    if not settings.payments:
        return PaymentHealth("ok", _OFF)
    parts = [_processor(settings), f"{facts.plans} plan{'s' * (facts.plans != 1)}", _last_webhook(facts)]
    if facts.failed:
        parts.append(f"{facts.failed} event{'s' * (facts.failed > 1)} failed within a day")
    if facts.unmatched:
        parts.append(f"{facts.unmatched} payment{'s' * (facts.unmatched > 1)} without a member")
    if facts.paying_twice:
        parts.append(f"{facts.paying_twice} member{'s' * (facts.paying_twice > 1)} with several subscriptions")
    for applies, state, finding, fix in _problems(settings, facts):
        if applies:
            return PaymentHealth(state, "; ".join(filter(None, (*parts, finding))), fix)
    return PaymentHealth("ok", "; ".join(parts))


def _problems(settings: Settings, facts: PaymentFacts) -> tuple[tuple[bool, Literal["warn", "fail"], str, str], ...]:
    """List possible problems, worst first: whether it applies, how bad it is, the finding, the fix."""
    kind = _key_kind(settings)
    endpoint = f"set the webhook address at Stripe to {settings.origin}/stripe/webhook"
    start = "start it: make run, or python -m church.till"
    label = "add church_plan to the metadata of a Stripe product, then run flask church stripe sync"
    return (
        (not settings.webhook_secrets, "fail", "every webhook is rejected", "set STRIPE_WEBHOOK_SECRET"),
        (facts.failed > 0, "warn", "", _REPLAY),
        (facts.unmatched > 0, "warn", "", _ASSIGN),
        (settings.production and kind != "live", "warn", "no real payments", "set STRIPE_SECRET_KEY to the live one"),
        (not settings.production and kind == "live", "warn", "payments are real", "use a test key for development"),
        (facts.last_webhook is None, "warn", "", start if settings.till else endpoint),
        (facts.plans == 0, "warn", "no plans for sale", start if settings.till else label),
        (facts.paying_twice > 0, "warn", "", _TWICE),
    )


def _processor(settings: Settings) -> str:
    if settings.till:
        return f"test till at {settings.till_address}"
    return f"Stripe with a {_key_kind(settings)} key"


def _key_kind(settings: Settings) -> str:
    """The kind of the key, by its prefix (https://docs.stripe.com/keys)."""
    return next((kind for kind in ("live", "test") if settings.stripe_key[2:].startswith(f"_{kind}_")), "strange")


def _last_webhook(facts: PaymentFacts) -> str:
    if facts.last_webhook is None:
        return "no webhook received yet"
    return f"last webhook {facts.last_webhook:%Y-%m-%d %H:%M} UTC"
