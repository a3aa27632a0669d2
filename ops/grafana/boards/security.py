"""Security: events, findings of the threat scan, and refused requests."""

from __future__ import annotations

from ops.grafana.parts import Board, Panel, graph, number
from ops.grafana.queries import Query, each, increase, rate, total

REFUSALS = 'status_code=~"400|401|403|429"'
_events, _findings, _limits = "security_events_total", "suspicious_activity_total", "rate_limit_hits_total"


def _seen(title: str, about: str, *matchers: str, red: float) -> Panel:
    query = Query(total(increase(_events, *matchers)))
    return number(title, about, "short", query, steps=((1, "yellow"), (red, "red")), decimals=0)


NOW = (
    number(
        "Events",
        "All security events in the selected time.",
        "short",
        Query(total(increase(_events))),
        decimals=0,
    ),
    _seen("Severe", "High severity: detected or blocked attacks, forged webhooks.", 'severity="high"', red=50),
    _seen("Throttled sign-ins", "Sign-ins refused after too many attempts.", 'event_type="login_throttled"', red=50),
    _seen("Admin pages tried", "Requests by members for admin pages.", 'event_type="role_probe"', red=20),
    _seen(
        "Forged",
        "Webhooks, tokens and stream addresses with a wrong or old signature.",
        'event_type=~"webhook_forged|invalid_token|video_token_forged"',
        red=50,
    ),
    number(
        "Refused by limits",
        "Requests over a limit in the selected time.",
        "short",
        Query(total(increase(_limits))),
        decimals=0,
    ),
)
EVENTS = (
    graph(
        "Events by kind",
        "Events per second.",
        "ops",
        each("event_type", _events),
        stacked=True,
    ),
    graph(
        "Events by severity",
        "Events per second.",
        "ops",
        each("severity", _events),
        stacked=True,
    ),
    graph(
        "Findings by kind",
        "Parts of requests that look like an attack, per second, by kind of attack.",
        "ops",
        each("activity_type", _findings),
        stacked=True,
    ),
    graph(
        "Findings by place",
        "The same, by place in the request.",
        "ops",
        each("source", _findings),
        stacked=True,
    ),
)
REFUSED = (
    graph(
        "Refused by limit",
        "Requests per second over a limit, by limit.",
        "reqps",
        each("limit", _limits),
    ),
    graph(
        "Refused by status",
        "Requests per second answered with 400, 401, 403 or 429. Zero on a site that no one probes.",
        "reqps",
        Query(
            f"{total(rate('http_requests_total', REFUSALS), 'status_code')} or vector(0)",
            "{{status_code}}",
        ),
    ),
    graph(
        "Failed sign-ins",
        "Per second, by reason. Many failed_credentials from many places mean password guessing.",
        "ops",
        each("outcome", "auth_attempts_total", 'type="login", outcome=~"failed_.+"'),
    ),
    graph(
        "Live connections refused",
        "Per second, by reason.",
        "ops",
        each("outcome", "websocket_connections_total", 'outcome=~"refused_.+"'),
    ),
)
BOARD = Board(
    "church-security",
    "Church: Security",
    "Attacks and refused requests. Each event is a log record with the request's id.",
    (("Selected time", NOW), ("Events", EVENTS), ("Refused", REFUSED)),
    logs=r'| event=~"security\\..+" or event_name=~"security\\..+"',
    traces='{resource.service.name="church" && span.http.status_code>=400}',
    span="now-24h",
)
