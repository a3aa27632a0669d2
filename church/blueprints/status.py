"""Health of a worker (``/health``, ``/ready``), and who may read ``/metrics``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Container
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from church.config import Settings, current_settings
from church.extensions import db
from church.lib.per_process import PerProcess, started_at
from church.lib.version import COMMIT, VERSION
from church.web import answer_cache, maintenance
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow, bearer, is_local_address

bp = Blueprint("status", __name__)

ALWAYS_OPEN = frozenset({"status.health", "status.ready", "prometheus_metrics"})
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_write_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_statm = PerProcess(lambda: os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC))


def guard_metrics(view: Callable[..., Any]) -> Callable[..., Any]:
    """Declare who may read ``/metrics``, and how often."""
    return allow(bearer("metrics:read"))(limited("telemetry_api")(view))


@bp.get("/health")
@allow(EVERYONE)
def health() -> Response:
    """Liveness: this worker answers. In production, only this host gets more details."""
    current = current_settings()
    answer_cache.offer(depends_on=(), make=partial(_write_health, current))
    fields = {name[len("HTTP_") :].replace("_", "-"): "" for name in request.environ if name.startswith("HTTP_")}
    body = _write_health(current, request.remote_addr or "", fields)
    return _not_stored(Response(body, mimetype="application/json"))


def _write_health(current: Settings, client: str, fields: Container[str]) -> bytes:
    """Write the body for the client at an address, who sent header ``fields``, by their names in capitals."""
    facts: dict[str, Any] = {"status": "ok", "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds")}
    if not current.production or is_local_address(client, fields):
        facts |= {
            "uptime": round(time.monotonic() - started_at(), 3),
            "version": VERSION,
            "commit": COMMIT,
            "environment": current.environment,
            "memory": {"rss_bytes": _resident_bytes()},
            "metrics": {"endpoint": "/metrics", "port": int(current.bind.rpartition(":")[2])},
        }
    return f"{_write_json(facts)}\n".encode()


@bp.get("/ready")
@allow(EVERYONE)
def ready() -> tuple[Response, int]:
    """Readiness: 200 if the database answers, all migrations are applied and this host is not draining, else 503.

    Maintenance of all hosts is no reason to fail: a load balancer without a ready host shows an error page of its own,
    and not the announcement.
    """
    state = db.probe()
    checks = {"database": state.answers, "migrations": state.migrated}
    draining = maintenance.find_drain_reason(current_settings())
    closed = maintenance.find_state(current_app).shown is not None
    status = "draining" if draining else "ready" if all(checks.values()) else "unavailable"
    reason = {"reason": draining} if draining else {}
    response = _not_stored(jsonify(status=status, checks=checks, maintenance=closed, **reason))
    return response, 200 if status == "ready" else 503


def _not_stored(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _resident_bytes() -> int:
    """Return this worker's memory, from proc(5); 0 without /proc."""
    try:
        return int(os.pread(_statm(), 256, 0).split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
