"""Authentication: successful and failed sign-ins, and why they fail."""

from __future__ import annotations

from ops.grafana.parts import Board, graph, number
from ops.grafana.queries import Query, each, increase, one, quantile, rate, share, site, total

LOGIN, TAKEN = 'type="login"', 'outcome=~"success|failed_error"'
_attempts = "auth_attempts_total"
_broken = total(rate(_attempts, LOGIN, 'outcome="failed_error"'))
_wrong = total(rate(_attempts, LOGIN, 'outcome="failed_credentials"'))

NOW = (
    number("Signed in", "Active sessions, from the database.", "none", Query(one(site("auth_sessions_active")))),
    number(
        "Sign-ins",
        "Successful sign-ins in the selected time.",
        "short",
        Query(total(increase(_attempts, LOGIN, 'outcome="success"'))),
        decimals=0,
    ),
    number(
        "New accounts",
        "Accounts made in the selected time.",
        "short",
        Query(total(increase("user_registrations_total"))),
        decimals=0,
    ),
    number(
        "Wrong passwords",
        "Share of sign-in attempts. Far above normal means password guessing.",
        "percentunit",
        Query(share(_wrong, total(rate(_attempts, LOGIN)))),
        steps=((0.3, "yellow"), (0.6, "red")),
        empty="no attempts",
        decimals=1,
    ),
    number(
        "Sign-in errors",
        "Share of sign-ins with the right password that ended in a server error.",
        "percentunit",
        Query(share(_broken, total(rate(_attempts, LOGIN, TAKEN)))),
        steps=((0.01, "red"),),
        empty="no attempts",
        decimals=2,
    ),
    number("Emails waiting", "Confirmations and password resets need email.", "none", Query(one(site("mail_pending")))),
)
ATTEMPTS = (
    graph(
        "Attempts",
        "Per second, by type.",
        "ops",
        each("type", _attempts),
        stacked=True,
    ),
    graph(
        "Sign-ins by outcome",
        "Per second, by outcome.",
        "ops",
        each("outcome", _attempts, LOGIN),
        stacked=True,
    ),
    graph(
        "Failures",
        "Failed attempts of any type per second.",
        "ops",
        Query(total(rate(_attempts, 'outcome!="success"'), "type", "outcome"), "{{type}}: {{outcome}}"),
    ),
    graph(
        "Time to sign in",
        "From the form to the response, mostly hashing the password: median and 95th percentile.",
        "s",
        Query(quantile(0.5, "http_request_duration_seconds", 'route="/auth/login", method="POST"'), "half"),
        Query(
            quantile(0.95, "http_request_duration_seconds", 'route="/auth/login", method="POST"'),
            "95 of 100",
            exemplar=True,
        ),
    ),
)
PEOPLE = (
    graph(
        "Signed in",
        "Active sessions. A drop means that many were revoked or expired at once.",
        "none",
        Query(one(site("auth_sessions_active")), "sign-ins"),
    ),
    graph(
        "New accounts",
        "Per second, by source.",
        "ops",
        each("source", "user_registrations_total"),
    ),
    graph(
        "Refused by a limit",
        "Requests to account pages per second over a limit.",
        "reqps",
        Query(
            total(
                rate("rate_limit_hits_total", 'limit=~"login|login_account|register|link|reset|token|account"'), "limit"
            ),
            "{{limit}}",
        ),
    ),
    graph(
        "Security events of accounts",
        "Per second: throttled sign-ins, forged tokens, forms from other sites, admin pages tried by members.",
        "ops",
        Query(
            total(
                rate(
                    "security_events_total",
                    'event_type=~"login_throttled|invalid_token|csrf_refused|role_probe|duplicate_registration_attempt"',
                ),
                "event_type",
            ),
            "{{event_type}}",
        ),
    ),
)
BOARD = Board(
    "church-auth",
    "Church: Authentication",
    "Sign-in, sign-out, registration, password resets and tokens.",
    (("Now", NOW), ("Attempts", ATTEMPTS), ("People", PEOPLE)),
    logs=r'| event=~"auth\\..+" or event_name=~"auth\\..+"',
    traces='{resource.service.name="church" && name="auth.login"}',
)
