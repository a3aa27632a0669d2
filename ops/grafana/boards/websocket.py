"""WebSocket: who is connected, what goes through, and what does not arrive."""

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
        "Open", "Live connections on all chosen instances.", "none", Query(total(site("websocket_connections_active")))
    ),
    number("Received", "Messages of clients a second.", "ops", Query(total(rate(_messages, 'direction="in"')))),
    number("Sent", "Messages to clients a second.", "ops", Query(total(rate(_messages, 'direction="out"')))),
    number(
        "Dropped",
        "Share of messages that a client never got since it reads too slowly.",
        "percentunit",
        Query(share(_dropped, total(rate(_delivered)))),
        steps=((0.001, "yellow"), (0.005, "red")),
        empty="no messages",
        decimals=2,
    ),
    number(
        "Said",
        "Chat messages that clients sent in the time that is shown.",
        "short",
        Query(total(increase(_messages, 'direction="in", message_type="chat"'))),
        decimals=0,
    ),
    number(
        "Refused",
        "Connections refused in the time that is shown.",
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
        "Connections asked for",
        "A second, by what came of it.",
        "ops",
        each("outcome", _connections),
    ),
    graph(
        "How long they last",
        "Half and 95 of 100 of the connections that ended lasted less.",
        "s",
        *spread("websocket_connection_duration_seconds"),
    ),
    graph(
        "Signing in",
        "Attempts a second to sign in over a connection.",
        "ops",
        each("outcome", "auth_attempts_total", 'type="websocket"'),
    ),
)
MESSAGES = (
    graph(
        "Received by kind",
        "Messages of clients a second.",
        "ops",
        each("message_type", _messages, 'direction="in"'),
        stacked=True,
    ),
    graph(
        "Sent by kind",
        "Messages to clients a second; one that goes to many counts for each.",
        "ops",
        each("message_type", _messages, 'direction="out"'),
        stacked=True,
    ),
    graph(
        "Delivered and dropped",
        "Messages a second for clients.",
        "ops",
        each("outcome", _delivered),
    ),
    graph(
        "Refused by a limit",
        "Chat messages and connections a second that were one too many.",
        "ops",
        each("limit", "rate_limit_hits_total", 'limit=~"chat|live"'),
    ),
)
BOARD = Board(
    "church-websocket",
    "Church: WebSocket",
    "Live connections and their messages. A connection is no request: none of this is on the board of HTTP.",
    (("Now", NOW), ("Connections", CONNECTIONS), ("Messages", MESSAGES)),
    logs=r'| event=~"(live|chat)\\..+"',
    traces='{resource.service.name="church" && name=~"chat.message|live\\\\..+"}',
)
