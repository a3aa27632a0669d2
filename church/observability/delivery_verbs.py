"""What is told of deliveries: records. Their metrics are read from the rows, so nothing is counted here."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("church.delivery")


def deployment(environment: str, status: str, kind: str, **fields: Any) -> dict[str, str]:
    """A deployment was recorded; gives what a span notes."""
    facts = {"environment": environment, "outcome": str(status), "kind": str(kind)}
    log.info("deployment", extra={"event": "delivery.deployment", **_unlike(facts), **fields})
    return facts


def incident(environment: str, severity: str, **fields: Any) -> dict[str, str]:
    """An incident was opened."""
    facts = {"environment": environment, "severity": severity}
    log.warning("incident opened", extra={"event": "delivery.incident_opened", **_unlike(facts), **fields})
    return facts


def resolution(environment: str, severity: str, seconds: float, **fields: Any) -> dict[str, str]:
    """An incident was resolved, ``seconds`` after it was opened."""
    facts = {"environment": environment, "severity": severity}
    told = {"event": "delivery.incident_resolved", "seconds": round(seconds, 3)}
    log.info("incident resolved", extra={**told, **_unlike(facts), **fields})
    return facts


def _unlike(facts: dict[str, str]) -> dict[str, str]:
    """``environment`` is a field of every record already, and is that of the site which writes it."""
    return {"target" if name == "environment" else name: value for name, value in facts.items()}
