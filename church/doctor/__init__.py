"""What ``flask church doctor`` says: each part of the site looked at once, with what to do where it is not well.

A check is bounded in time and never raises: what it could not find out is its finding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from church.config import Settings
from church.doctor.dependencies import check_database, check_jobs
from church.doctor.email import check_mail
from church.doctor.findings import Finding, State
from church.doctor.host import check_clock, check_content, check_disk, check_folders, check_metrics, check_scrapes
from church.doctor.payments import check_payments
from church.doctor.videos import check_videos
from church.lib.secrets import weakness
from church.store import StoreClient
from church.web import maintenance

__all__ = ["Check", "examine"]

# Seconds for one check.
LIMIT = 5.0


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report; ``fix`` is empty where all is well."""

    name: str
    state: State
    finding: str
    fix: str = ""


def examine(settings: Settings) -> list[Check]:
    """Look at every part, in the order in which one would repair them."""
    checks: dict[str, Callable[[Settings], Finding]] = {
        "settings": _check_settings,
        "secrets": _check_secrets,
        "folders": check_folders,
        "content": check_content,
        "disk": check_disk,
        "clock": check_clock,
        "database": check_database,
        "store": _check_store,
        "jobs": check_jobs,
        "mail": check_mail,
        "payments": check_payments,
        "videos": check_videos,
        "metrics": check_metrics,
        "scrapes": check_scrapes,
        "maintenance": _check_maintenance,
    }
    return [_bounded(name, check, settings) for name, check in checks.items()]


def _bounded(name: str, check: Callable[[Settings], Finding], settings: Settings) -> Check:
    found: list[Finding] = []

    def run() -> None:
        try:
            found.append(check(settings))
        except Exception as error:  # noqa: BLE001 (a check that breaks is itself a finding)
            found.append(("fail", f"could not be checked: {type(error).__name__}: {error}"[:300], "look at the log"))

    thread = threading.Thread(target=run, daemon=True, name=f"doctor-{name}")
    thread.start()
    thread.join(LIMIT)
    if not found:
        return Check(name, "fail", f"did not answer within {LIMIT:.0f} s", "it hangs: look at what it depends on")
    return Check(name, *found[0])


def _check_settings(settings: Settings) -> Finding:
    if settings.production and not settings.https:
        return "warn", f"visitors reach {settings.origin} without https", "set CHURCH_SITE_URL to https://…"
    return "ok", f"{settings.environment}, {settings.workers} workers, {settings.origin}", ""


def _check_secrets(settings: Settings) -> Finding:
    wanted = {"SECRET_KEY": settings.secret_key}
    if settings.production or settings.metrics_token is not None:
        wanted["METRICS_TOKEN"] = settings.metrics_token  # type: ignore[assignment]
    weak = [
        f"{name} {problem}"
        for name, secret in wanted.items()
        if (problem := weakness(secret.get_secret_value() if secret else ""))
    ]
    if not weak:
        return "ok", f"{' and '.join(wanted)} strong", ""
    fix = "python -c 'import secrets; print(secrets.token_urlsafe(48))' makes a good one"
    return "fail" if settings.production else "warn", "; ".join(weak), fix


def _check_store(settings: Settings) -> Finding:
    if StoreClient(settings).ping():
        return "ok", "answers", ""
    where = "REDIS_URL" if settings.redis_url else "the embedded store (make run, or its systemd unit)"
    # The site works without it: limits are counted in each worker.
    return "warn", "does not answer; rate limits are counted in each worker alone", f"start {where}"


def _check_maintenance(settings: Settings) -> Finding:
    if maintenance.is_on(settings):
        return "warn", "is on: visitors get a 503 page", "flask church maintenance off"
    return "ok", "is off", ""
