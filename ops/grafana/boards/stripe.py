"""Stripe payments: webhooks, subscriptions, money by currency, and calls to Stripe."""

from __future__ import annotations

from ops.grafana.parts import Board, graph, number
from ops.grafana.queries import Query, busiest, each, increase, one, rate, share, site, spread, total

SIGNED = 'status=~"processed|duplicate|ignored|failed"'
STRIPE = 'service="stripe"'
PAYING = 'status=~"active|trialing"'
_hooks = "stripe_webhooks_total"


def _members(*matchers: str, by: str = "") -> str:
    """Subscriptions that have not ended, of all plans."""
    rows = one(site("stripe_subscriptions_active", *matchers), "plan", "status")
    return total(rows, by) if by else total(rows)


NOW = (
    number(
        "Paying",
        "Subscriptions that are active or in a trial, from the database.",
        "none",
        Query(_members(PAYING)),
        empty="no plans",
    ),
    number(
        "Past due",
        "Subscriptions whose renewal failed; members keep premium for the grace period.",
        "none",
        Query(_members('status="past_due"')),
        steps=((1, "yellow"),),
        empty="no plans",
    ),
    number(
        "Paid",
        "In the selected time, by currency, in its major unit; currencies are never added up.",
        "locale",
        Query(one(increase("stripe_payment_value_total"), "currency"), "{{currency}}"),
        empty="nothing yet",
        decimals=2,
    ),
    number(
        "Refunded",
        "In the selected time, by currency, in its major unit.",
        "locale",
        Query(one(increase("stripe_refund_value_total"), "currency"), "{{currency}}"),
        empty="nothing yet",
        decimals=2,
    ),
    number(
        "Failed webhooks",
        "Share of Stripe's deliveries that failed; Stripe sends them again.",
        "percentunit",
        Query(share(total(rate(_hooks, 'status="failed"')), total(rate(_hooks, SIGNED)))),
        steps=((0.01, "yellow"), (0.05, "red")),
        empty="no webhooks",
        decimals=2,
    ),
    number(
        "Forged webhooks",
        "Deliveries in the selected time without Stripe's signature: a wrong secret, or a forger.",
        "short",
        Query(total(increase(_hooks, 'status="invalid_signature"'))),
        steps=((1, "yellow"), (20, "red")),
        decimals=0,
    ),
)
WEBHOOKS = (
    graph(
        "Webhooks by answer",
        "Deliveries per second, by outcome.",
        "ops",
        each("status", _hooks),
        stacked=True,
    ),
    graph(
        "Webhooks by event",
        "Deliveries per second of the ten most frequent events.",
        "ops",
        busiest("event_type", _hooks),
        stacked=True,
    ),
    graph(
        "Lag",
        "From the event at Stripe until it is processed here: median and 95th percentile.",
        "s",
        *spread("stripe_webhook_lag_seconds"),
    ),
    graph(
        "Failed and forged",
        "Rejected deliveries per second.",
        "ops",
        each("status", _hooks, 'status=~"failed|invalid_signature"'),
    ),
)
MONEY = (
    graph(
        "Subscriptions by state",
        "Subscriptions that have not ended, from the database.",
        "none",
        Query(
            _members(by="status"),
            "{{status}}",
        ),
        stacked=True,
    ),
    graph(
        "Subscriptions by plan",
        "Subscriptions that are active or in a trial.",
        "none",
        Query(
            _members(PAYING, by="plan"),
            "{{plan}}",
        ),
        stacked=True,
    ),
    graph(
        "Paid in a day",
        "In the 24 hours before each moment, by currency, in its major unit.",
        "locale",
        Query(one(increase("stripe_payment_value_total", over="1d"), "currency"), "{{currency}}"),
    ),
    graph(
        "Refunded in a day",
        "In the 24 hours before each moment, by currency, in its major unit.",
        "locale",
        Query(one(increase("stripe_refund_value_total", over="1d"), "currency"), "{{currency}}"),
    ),
)
CALLS = (
    graph(
        "Calls to Stripe",
        "Per second, by outcome; refused means rejected by Stripe, such as a declined card.",
        "ops",
        each("outcome", "outbound_request_duration_seconds_count", STRIPE),
        width=8,
    ),
    graph(
        "Time of calls to Stripe",
        "Median and 95th percentile.",
        "s",
        *spread("outbound_request_duration_seconds", STRIPE),
        width=8,
    ),
    graph(
        "Premium views",
        "Premium pages and videos per second: shown in full, to admins, or as a teaser without access.",
        "ops",
        each("outcome", "content_access_total", 'access_level="premium"'),
        width=8,
    ),
)
BOARD = Board(
    "church-stripe",
    "Church: Stripe payments",
    "Webhooks, subscriptions and money. The ledger itself is in the admin area.",
    (("Now", NOW), ("Webhooks", WEBHOOKS), ("Members and money", MONEY), ("Calls", CALLS)),
    logs=r'| event=~"stripe\\..+" or event_name=~"stripe\\..+"',
    traces='{resource.service.name="church" && name=~"stripe\\\\..+"}',
    span="now-7d",
)
