"""Check each part of the site for ``flask church doctor``, with a fix for each problem.

A check has a time limit and never raises: an error or a timeout is its finding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from church.config import Settings, find_weak_settings
from church.database.engines import make_probe_engine
from church.database.maintenance import Announcement, copy_file, host_file, read_file, read_row_if_any
from church.doctor.accounts import check_accounts
from church.doctor.addresses import check_addresses
from church.doctor.brand import check_brand
from church.doctor.dependencies import check_database, check_jobs
from church.doctor.email import check_email
from church.doctor.findings import Finding, State
from church.doctor.host import check_clock, check_content, check_disk, check_folders, check_metrics, check_scrapes
from church.doctor.logs import check_logs
from church.doctor.observatory import check_observatory
from church.doctor.pages import check_pages
from church.doctor.payments import check_payments
from church.doctor.sums import check_sums
from church.doctor.videos import check_videos
from church.lib.secrets import find_weakness
from church.store import StoreClient

__all__ = ["CheckResult", "run_checks"]

# Seconds for one check.
CHECK_TIMEOUT = 5.0


@dataclass(frozen=True)
class CheckResult:
    """One line of the doctor's report; ``fix`` is empty if nothing is wrong."""

    name: str
    state: State
    finding: str
    fix: str = ""


def run_checks(settings: Settings) -> list[CheckResult]:
    """Run all checks, in the order in which problems should be fixed."""
    checks: dict[str, Callable[[Settings], Finding]] = {
        "settings": _check_settings,
        "secrets": _check_secrets,
        "folders": check_folders,
        "content": check_content,
        "pages": check_pages,
        "brand": check_brand,
        "disk": check_disk,
        "clock": check_clock,
        "database": check_database,
        "store": _check_store,
        "accounts": check_accounts,
        "jobs": check_jobs,
        "mail": check_email,
        "payments": check_payments,
        "sums": check_sums,
        "videos": check_videos,
        "logs": check_logs,
        "addresses": check_addresses,
        "metrics": check_metrics,
        "scrapes": check_scrapes,
        "observatory": check_observatory,
        "maintenance": _check_maintenance,
    }
    return [_bounded(name, check, settings) for name, check in checks.items()]


def _bounded(name: str, check: Callable[[Settings], Finding], settings: Settings) -> CheckResult:
    findings: list[Finding] = []

    def run() -> None:
        try:
            findings.append(check(settings))
        except Exception as error:  # noqa: BLE001 (a check that breaks is itself a finding)
            findings.append(("fail", f"could not be checked: {type(error).__name__}: {error}"[:300], "see the log"))

    thread = threading.Thread(target=run, daemon=True, name=f"doctor-{name}")
    thread.start()
    thread.join(CHECK_TIMEOUT)
    if not findings:
        return CheckResult(name, "fail", f"no answer within {CHECK_TIMEOUT:.0f} s", "find out what it waits for")
    return CheckResult(name, *findings[0])


def _check_settings(settings: Settings) -> Finding:
    if weak := find_weak_settings(settings):
        findings = "; ".join(f"{name}: {problem}" for name, problem, _ in weak)
        return "warn", findings, "; ".join(f"{name}: {fix}" for name, _, fix in weak)
    return "ok", f"{settings.environment}, {settings.workers} workers, {settings.origin}", ""


def _check_secrets(settings: Settings) -> Finding:
    secrets = {"SECRET_KEY": settings.secret_key}
    if settings.production or settings.metrics_token is not None:
        secrets["METRICS_TOKEN"] = settings.metrics_token  # type: ignore[assignment]
    weak = [
        f"{name} {problem}"
        for name, secret in secrets.items()
        if (problem := find_weakness(secret.get_secret_value() if secret else ""))
    ]
    if not weak:
        return "ok", f"strong {' and '.join(secrets)}", ""
    fix = "generate one: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
    return "fail" if settings.production else "warn", "; ".join(weak), fix


def _check_store(settings: Settings) -> Finding:
    if StoreClient(settings).ping():
        return "ok", "reachable", ""
    where = "REDIS_URL" if settings.redis_url else "the embedded store (make run, or its systemd unit)"
    # The site works without it.
    return "warn", "not reachable; each worker counts rate limits on its own", f"start {where}"


def _check_maintenance(settings: Settings) -> Finding:
    if read_file(host_file(settings)) is not None:
        return "warn", "on, on this host: visitors get a 503 page, /ready fails", "flask church maintenance off"
    if _find_for_all_hosts(settings) is not None:
        return "warn", "on, on all hosts: visitors get a 503 page", "flask church maintenance off"
    return "ok", "off", ""


def _find_for_all_hosts(settings: Settings) -> Announcement | None:
    """Read the announcement from the database, or what this host heard last if that does not answer."""
    engine = make_probe_engine(settings)
    try:
        return read_row_if_any(engine)
    except SQLAlchemyError:
        return read_file(copy_file(settings))
    finally:
        engine.dispose()
