"""Is it alive, is it ready, and who may scrape it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from flask import Blueprint, Response, jsonify

from church.config import current_settings
from church.extensions import db
from church.lib.version import COMMIT, VERSION
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow, bearer, is_local

bp = Blueprint("status", __name__)

ALWAYS_OPEN = frozenset({"status.health", "status.ready", "prometheus_metrics"})
_STARTED = time.monotonic()
_apps = count()


def guard_metrics(view: Callable[..., Any]) -> Callable[..., Any]:
    """Who may read /metrics, and how often."""
    view.__qualname__ += f"_{next(_apps)}"  # Flask-Limiter counts by a view's name, and each app has such a view
    return allow(bearer("metrics:read"))(limited("telemetry_api")(view))


@bp.get("/health")
@allow(EVERYONE)
def health() -> Response:
    """Liveness: this worker answers. A stranger in production learns no more than that."""
    facts: dict[str, Any] = {"status": "ok", "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds")}
    current = current_settings()
    if not current.production or is_local():
        facts |= {
            "uptime": round(time.monotonic() - _STARTED, 3),
            "version": VERSION,
            "commit": COMMIT,
            "environment": current.environment,
            "memory": {"rss_bytes": _resident_bytes()},
            "metrics": {"endpoint": "/metrics", "port": int(current.bind.rpartition(":")[2])},
        }
    return _unkept(jsonify(facts))


@bp.get("/ready")
@allow(EVERYONE)
def ready() -> tuple[Response, int]:
    """Readiness: the database answers and is at the head of the migrations; 503 while not."""
    found = db.probe()
    checks = {"database": found.answers, "migrations": found.migrated}
    fine = all(checks.values())
    return _unkept(jsonify(status="ready" if fine else "unavailable", checks=checks)), 200 if fine else 503


def _unkept(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _resident_bytes() -> int:
    """Memory of this worker, by proc(5); 0 where there is no /proc."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
