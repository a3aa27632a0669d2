"""Authentication: who gets in, who does not, and why."""

from __future__ import annotations

from ops.grafana.parts import Board, graph, number
from ops.grafana.queries import Query, each, increase, one, quantile, rate, share, site, total

LOGIN, TAKEN = 'type="login"', 'outcome=~"success|failed_error"'
_attempts = "auth_attempts_total"
_broken = total(rate(_attempts, LOGIN, 'outcome="failed_error"'))
_wrong = total(rate(_attempts, LOGIN, 'outcome="failed_credentials"'))

NOW = (
    number("Signed in", "Sign-ins that are good, from their rows.", "none", Query(one(site("auth_sessions_active")))),
    number(
        "Sign-ins",
        "Successful ones in the time that is shown.",
        "short",
        Query(total(increase(_attempts, LOGIN, 'outcome="success"'))),
        decimals=0,
    ),
    number(
        "New accounts",
        "Made in the time that is shown.",
        "short",
        Query(total(increase("user_registrations_total"))),
        decimals=0,
    ),
    number(
        "Wrong passwords",
        "Share of attempts to sign in. A share that is far above its usual one is somebody who guesses.",
        "percentunit",
        Query(share(_wrong, total(rate(_attempts, LOGIN)))),
        steps=((0.3, "yellow"), (0.6, "red")),
        empty="nobody tried",
        decimals=1,
    ),
    number(
        "Sign-ins that broke",
        "Share of the right passwords that were answered with an error of the site.",
        "percentunit",
        Query(share(_broken, total(rate(_attempts, LOGIN, TAKEN)))),
        steps=((0.01, "red"),),
        empty="nobody tried",
        decimals=2,
    ),
    number("Mails that wait", "Confirmations and new passwords go by mail.", "none", Query(one(site("mail_pending")))),
)
ATTEMPTS = (
    graph(
        "Attempts",
        "A second, by what was attempted.",
        "ops",
        each("type", _attempts),
        stacked=True,
    ),
    graph(
        "Sign-ins by outcome",
        "A second, by what came of it.",
        "ops",
        each("outcome", _attempts, LOGIN),
        stacked=True,
    ),
    graph(
        "Failures",
        "Attempts of any kind a second that did not succeed.",
        "ops",
        Query(total(rate(_attempts, 'outcome!="success"'), "type", "outcome"), "{{type}}: {{outcome}}"),
    ),
    graph(
        "Time to sign in",
        "From the form to the answer, most of it the password's hash: half and 95 of 100 took less.",
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
        "Sign-ins that are good. A drop is a revocation, or the end of many at once.",
        "none",
        Query(one(site("auth_sessions_active")), "sign-ins"),
    ),
    graph(
        "New accounts",
        "A second, by where they came from.",
        "ops",
        each("source", "user_registrations_total"),
    ),
    graph(
        "Refused by a limit",
        "Requests of the account's pages a second that were one too many.",
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
        "A second: throttled sign-ins, forged tokens, forms of other sites, roles that were tried.",
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
    "Signing in and out, registering, new passwords and tokens.",
    (("Now", NOW), ("Attempts", ATTEMPTS), ("People", PEOPLE)),
    logs=r'| event=~"auth\\..+"',
    traces='{resource.service.name="church" && name="auth.login"}',
)
