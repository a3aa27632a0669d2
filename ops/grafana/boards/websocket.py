"""WebSocket: connections, messages, and dropped deliveries."""

from __future__ import annotations

from ops.grafana.parts import Board, graph, number
from ops.grafana.queries import Query, each, increase, rate, share, site, spread, total

_connections, _messages, _delivered = (
    "websocket_connections_total",
    "websocket_messages_total",
    "websocket_deliveries_total",
)
_dropped = total(rate(_delivered, 'outcome="dropped"'))

NOW = (
    number(
        "Open", "Live connections on selected instances.", "none", Query(total(site("websocket_connections_active")))
    ),
    number("Received", "Messages from clients per second.", "ops", Query(total(rate(_messages, 'direction="in"')))),
    number("Sent", "Messages to clients per second.", "ops", Query(total(rate(_messages, 'direction="out"')))),
    number(
        "Dropped",
        "Share of messages dropped because the client reads too slowly.",
        "percentunit",
        Query(share(_dropped, total(rate(_delivered)))),
        steps=((0.001, "yellow"), (0.005, "red")),
        empty="no messages",
        decimals=2,
    ),
    number(
        "Chat messages",
        "Chat messages sent by clients in the selected time.",
        "short",
        Query(total(increase(_messages, 'direction="in", message_type="chat"'))),
        decimals=0,
    ),
    number(
        "Refused",
        "Connections refused in the selected time.",
        "short",
        Query(total(increase(_connections, 'outcome=~"refused_.+"'))),
        decimals=0,
    ),
)
CONNECTIONS = (
    graph(
        "Open connections",
        "By host.",
        "none",
        Query(total(site("websocket_connections_active"), "instance"), "{{instance}}"),
        stacked=True,
    ),
    graph(
        "Connection attempts",
        "Per second, by outcome.",
        "ops",
        each("outcome", _connections),
    ),
    graph(
        "Connection duration",
        "Median and 95th percentile of ended connections.",
        "s",
        *spread("websocket_connection_duration_seconds"),
    ),
    graph(
        "Signing in",
        "Attempts per second to sign in over a connection.",
        "ops",
        each("outcome", "auth_attempts_total", 'type="websocket"'),
    ),
)
MESSAGES = (
    graph(
        "Received by kind",
        "Messages from clients per second.",
        "ops",
        each("message_type", _messages, 'direction="in"'),
        stacked=True,
    ),
    graph(
        "Sent by kind",
        "Messages to clients per second; one to many clients counts for each.",
        "ops",
        each("message_type", _messages, 'direction="out"'),
        stacked=True,
    ),
    graph(
        "Delivered and dropped",
        "Messages to clients per second, sent or dropped.",
        "ops",
        each("outcome", _delivered),
    ),
    graph(
        "Refused by a limit",
        "Chat messages and connections per second over a limit.",
        "ops",
        each("limit", "rate_limit_hits_total", 'limit=~"chat|live"'),
    ),
)
BOARD = Board(
    "church-websocket",
    "Church: WebSocket",
    "Live connections and their messages. They do not count as requests on the HTTP dashboard.",
    (("Now", NOW), ("Connections", CONNECTIONS), ("Messages", MESSAGES)),
    logs=r'| event=~"(live|chat)\\..+" or event_name=~"(live|chat)\\..+"',
    traces='{resource.service.name="church" && name=~"chat.message|live\\\\..+"}',
)
