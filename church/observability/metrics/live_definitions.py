"""The collectors of the live connections: how many, how they fared, and what went through them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from church.observability.metrics.definitions import CATALOGUE, OTHER

CONNECTION_OUTCOMES = (
    "accepted",
    "refused_origin",
    "refused_handshake",
    "refused_address",
    "refused_full",
    "refused_member",
    "refused_sign_in",
)
"""What came of asking for a connection; a sign-in or a member's share is only known after ``accepted``."""
RECEIVED = ("auth", "ping", "subscribe_room", "leave_room", "chat", "history", "presence", "typing")
SENT = (
    "welcome",
    "auth_success",
    "auth_failed",
    "room_joined",
    "chat",
    "presence",
    "typing",
    "notification",
    "error",
    "pong",
)
DELIVERIES = ("sent", "dropped")

connections = Counter(
    "websocket_connections", "Live connections asked for, by what came of it.", ["outcome"], registry=CATALOGUE
)
active = Gauge(
    "websocket_connections_active", "Live connections that are open.", multiprocess_mode="livesum", registry=CATALOGUE
)
duration = Histogram(
    "websocket_connection_duration_seconds",
    "How long live connections lasted.",
    buckets=(1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 86400.0),
    registry=CATALOGUE,
)
messages = Counter(
    "websocket_messages",
    "Messages of live connections; one that is sent to many counts for each.",
    ["direction", "message_type"],
    registry=CATALOGUE,
)
deliveries = Counter(
    "websocket_deliveries",
    "Messages for a live connection: sent, or dropped because the client reads too slowly.",
    ["outcome"],
    registry=CATALOGUE,
)

for _live_outcome in CONNECTION_OUTCOMES:
    connections.labels(_live_outcome)
for _kind in (*RECEIVED, OTHER):
    messages.labels("in", _kind)
for _kind in SENT:
    messages.labels("out", _kind)
for _live_outcome in DELIVERIES:
    deliveries.labels(_live_outcome)
