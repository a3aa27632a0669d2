"""Fill a database with the rows of a busy site: paying members, deployments with commits, and incidents."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import Customer, DeliveredCommit, Deployment, Incident, LedgerEntry, Price, Product, SignIn, User
from church.models import Subscription as Paid
from church.models.base import Base, utc_now

MEMBERS = 10_000
DEPLOYMENTS = 5_000
_COMMITS = 5  # per deployment
_PAYMENTS = 12  # per member
_SINCE = timedelta(days=29)  # all deployments are within the 30 days that the gauges read: their worst case
Rows = Iterator[dict[str, Any]]


def fill_database(settings: Settings) -> None:
    """Insert the rows directly, because creating them through the services would take minutes."""
    app = create_app(settings)
    now = utc_now()
    tables: list[tuple[type[Base], Rows]] = [
        (User, _users(now)), (SignIn, _sign_ins(now)), (Product, _products(now)), (Price, _prices(now)),
        (Customer, _customers(now)), (Paid, _subscriptions(now)), (LedgerEntry, _payments(now)),
        (Deployment, _deployments(now)), (DeliveredCommit, _commits(now)), (Incident, _incidents(now)),
    ]  # fmt: skip
    with app.app_context():
        with db.write() as session:
            for model, rows in tables:
                session.execute(insert(model), list(rows))
        db.dispose()


def add_deployment(session: Session) -> None:
    """Add a deployment, so that cached sums must be computed again."""
    now = utc_now()
    session.add(Deployment(**_deployment(0, now) | {"id": None, "ref": secrets.token_hex(8)}))


def _users(now: datetime) -> Rows:
    for number in range(1, MEMBERS + 1):
        facts = {"role": "member", "source": "web", "created_at": now, "verified_at": now}
        yield {"id": number, "ref": f"user-{number}", "name": f"Member {number}", **facts}


def _sign_ins(now: datetime) -> Rows:
    for number in range(1, MEMBERS + 1):
        times = {"created_at": now, "last_seen_at": now, "expires_at": now + timedelta(days=30)}
        names = {"ref": f"sign-in-{number}", "token_hash": secrets.token_hex(32), "user_agent": "", "address": ""}
        yield {"user_id": number, **names, **times}


def _products(now: datetime) -> Rows:
    for plan in ("friend", "patron"):
        fields = {"name": plan, "description": "", "features": [], "active": True}
        yield {"stripe_id": f"prod_{plan}", "plan": plan, "fetched_at": now, **fields}


def _prices(now: datetime) -> Rows:
    for currency in ("eur", "usd"):
        terms = {"amount": 500, "currency": currency, "interval": "month", "interval_count": 1, "trial_days": 0}
        rest = {"tax_behavior": "inclusive", "active": True, "created_at": now, "fetched_at": now}
        yield {"stripe_id": f"price_{currency}", "stripe_product": "prod_friend", **terms, **rest}


def _customers(now: datetime) -> Rows:
    for number in range(1, MEMBERS + 1):
        yield {"id": number, "stripe_id": f"cus_{number}", "user_id": number, "created_at": now}


def _subscriptions(now: datetime) -> Rows:
    states = ("active",) * 7 + ("trialing", "past_due", "canceled")
    for number in range(1, MEMBERS + 1):
        ids = {"stripe_id": f"sub_{number}", "customer_id": number, "user_id": number}
        content = {"plan": ("friend", "patron")[number % 2], "quantity": 1, "amount": 500, "currency": "eur"}
        times = {"interval_count": 1, "started_at": now, "created_at": now, "fetched_at": now}
        yield {**ids, "status": states[number % len(states)], **content, **times}


def _payments(now: datetime) -> Rows:
    for number in range(MEMBERS * _PAYMENTS):
        member, month = number % MEMBERS + 1, number // MEMBERS
        payment = {"kind": "payment", "amount": 500, "currency": ("eur", "usd")[number % 2]}
        times = {"occurred_at": now - timedelta(days=30 * month), "recorded_at": now}
        yield {"source_id": f"pay_{number}", "user_id": member, "stripe_customer": f"cus_{member}", **payment, **times}


def _deployment(number: int, now: datetime) -> dict[str, Any]:
    kind = "hotfix" if number % 10 == 0 else "normal"
    facts = {"id": number, "ref": f"deployment-{number}", "environment": "production", "kind": kind, "commits": []}
    finished = now - _SINCE * number / DEPLOYMENTS
    return {
        **facts,
        "status": "failure" if number % 20 == 1 else "success",
        "finished_at": finished,
        "recorded_at": now,
    }


def _deployments(now: datetime) -> Rows:
    for number in range(1, DEPLOYMENTS + 1):
        yield _deployment(number, now)


def _commits(now: datetime) -> Rows:
    for number in range(1, DEPLOYMENTS + 1):
        delivered = _deployment(number, now)["finished_at"]
        for commit in range(_COMMITS):
            lead = 600.0 * (number * _COMMITS + commit) % 1_000_000
            times = {"committed_at": delivered - timedelta(seconds=lead), "delivered_at": delivered}
            ids = {"environment": "production", "sha": f"{number:x}f{commit:x}", "deployment_id": number}
            yield {**ids, **times, "lead_seconds": lead}


def _incidents(now: datetime) -> Rows:
    for number in range(1, DEPLOYMENTS + 1, 10):
        opened = _deployment(number, now)["finished_at"]
        facts = {"ref": f"incident-{number}", "environment": "production", "title": "Broken", "severity": "critical"}
        ended = {"resolved_at": opened + timedelta(seconds=number), "seconds": float(number), "changes": 1}
        yield {**facts, "deployment_id": number, "confidence": 1.0, "opened_at": opened, **ended, "recorded_at": now}
