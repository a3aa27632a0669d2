"""Security: what was seen, what was refused, and where it came in."""

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
        "All security events in the time that is shown.",
        "short",
        Query(total(increase(_events))),
        decimals=0,
    ),
    _seen("Severe", "Events of high severity: attacks seen or blocked, forged webhooks.", 'severity="high"', red=50),
    _seen("Throttled sign-ins", "Sign-ins refused since there were too many.", 'event_type="login_throttled"', red=50),
    _seen("Roles tried", "Requests for what only admins may do, by others.", 'event_type="role_probe"', red=20),
    _seen(
        "Forged",
        "Webhooks, tokens and stream addresses that the site did not sign or that are too old.",
        'event_type=~"webhook_forged|invalid_token|video_token_forged"',
        red=50,
    ),
    number(
        "Refused by limits",
        "Requests in the time that is shown that were one too many.",
        "short",
        Query(total(increase(_limits))),
        decimals=0,
    ),
)
EVENTS = (
    graph(
        "Events by kind",
        "A second.",
        "ops",
        each("event_type", _events),
        stacked=True,
    ),
    graph(
        "Events by severity",
        "A second.",
        "ops",
        each("severity", _events),
        stacked=True,
    ),
    graph(
        "Findings by kind",
        "What of the requests looked like an attack, a second, by which.",
        "ops",
        each("activity_type", _findings),
        stacked=True,
    ),
    graph(
        "Findings by place",
        "The same, by where in the request it stood.",
        "ops",
        each("source", _findings),
        stacked=True,
    ),
)
REFUSED = (
    graph(
        "Refused by limit",
        "Requests a second that were one too many, by which limit said so.",
        "reqps",
        each("limit", _limits),
    ),
    graph(
        "Refused by status",
        "Requests a second that were answered with 400, 401, 403 or 429. A site that nobody tries has none.",
        "reqps",
        Query(
            f"{total(rate('http_requests_total', REFUSALS), 'status_code')} or vector(0)",
            "{{status_code}}",
        ),
    ),
    graph(
        "Sign-ins that fail",
        "A second, by why. Many of failed_credentials from many places is somebody who guesses.",
        "ops",
        each("outcome", "auth_attempts_total", 'type="login", outcome=~"failed_.+"'),
    ),
    graph(
        "Live connections refused",
        "A second, by why.",
        "ops",
        each("outcome", "websocket_connections_total", 'outcome=~"refused_.+"'),
    ),
)
BOARD = Board(
    "church-security",
    "Church: Security",
    "What the site saw of attacks, and whom it refused. Each event is a log record with the request's id.",
    (("In the time shown", NOW), ("Events", EVENTS), ("Refused", REFUSED)),
    logs=r'| event=~"security\\..+"',
    traces='{resource.service.name="church" && span.http.status_code>=400}',
    span="now-24h",
)
