"""The names of a log record's fields, in both schemes: those of this site and OpenTelemetry's semantic conventions.

It loads nothing, so that the telemetry store can read both schemes.
"""

from __future__ import annotations

from typing import Any, Literal

Scheme = Literal["plain", "otel"]
SCHEMES: tuple[Scheme, ...] = ("plain", "otel")
PREFIX = "church."
"""Stands before the name of each field that OpenTelemetry has none for."""

OTEL_NAMES = {
    "timestamp": "timestamp",
    "level": "severity_text",
    "logger": "logger",
    "message": "body",
    "event": "event_name",
    "service": "service.name",
    "version": "service.version",
    "environment": "deployment.environment.name",
    "trace_id": "trace_id",
    "span_id": "span_id",
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "bytes": "http.response.body.size",
    "path": "url.path",
    "ip": "client.address",
    "user_agent": "user_agent.name",
    "exception": "exception.stacktrace",
    "error_type": "error.type",
}
"""Each plain name that OpenTelemetry has a name for; all others get ``PREFIX``."""

_PLAIN_NAMES = {otel: plain for plain, otel in OTEL_NAMES.items()}


def to_otel(name: str) -> str:
    """The name in OpenTelemetry's scheme."""
    return OTEL_NAMES.get(name) or PREFIX + name


def to_plain(name: str) -> str:
    """The plain name of a field in either scheme."""
    return _PLAIN_NAMES.get(name) or name.removeprefix(PREFIX)


def to_scheme(name: str, scheme: Scheme) -> str:
    """The name of a field in ``scheme``."""
    return to_otel(name) if scheme == "otel" else name


def read_plainly(record: dict[str, Any]) -> dict[str, Any]:
    """A record of either scheme with plain names."""
    return {to_plain(name): value for name, value in record.items()}
