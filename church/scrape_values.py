"""Every value that a scrape of /metrics reads from the database, the store and the disks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from church import jobs
from church.extensions import db, store
from church.services import billing, blocks, dora, email, sessions
from church.telemetry import StateMetric, Telemetry
from church.web import maintenance

if TYPE_CHECKING:
    from flask import Flask

    from church.config import Settings

Reading = tuple[tuple[str, ...], float]


def register(app: Flask, telemetry: Telemetry) -> None:
    """Register the metrics that a scrape of ``app`` reads."""
    settings: Settings = app.config["CHURCH"]

    def disks() -> Iterator[Reading]:
        folders = {"instance": settings.instance, "logs": settings.log_dir, "videos": settings.video_dir}
        for name, path in folders.items():
            if path.exists():
                yield (name,), float(shutil.disk_usage(path).free)

    def closed() -> Iterator[Reading]:
        state = maintenance.find_state(app)
        yield ("site",), float(state.site is not None)
        yield ("host",), float(state.host is not None)

    telemetry.add_state(
        StateMetric("maintenance_on", "1 while all hosts, or this host alone, are in maintenance.", closed, ("scope",)),
        StateMetric("database_up", "1 if the database answers, else 0.", lambda: _up(db.probe().answers)),
        StateMetric("store_up", "1 if the shared store answers, else 0.", lambda: _up(store.ping())),
        StateMetric("disk_free_bytes", "Free disk space in a folder of the site.", disks, ("path",)),
        StateMetric("auth_sessions_active", "Sessions that are signed in.", _sign_ins, shared=True),
        StateMetric("jobs_pending", "Jobs waiting in the queue.", _jobs_pending, ("kind",), shared=True),
        StateMetric("jobs_dead", "Jobs that failed for good and need attention.", _jobs_dead, ("kind",), shared=True),
        StateMetric("blocks_active", "Addresses and networks that are blocked.", _blocks, shared=True),
        StateMetric("mail_pending", "Emails waiting to be sent.", _mails_pending, shared=True),
        *_billing_metrics(),
        *_dora_metrics(),
    )


def _billing_metrics() -> Iterator[StateMetric]:
    yield StateMetric(
        "stripe_subscriptions_active",
        "Subscriptions that have not ended.",
        _subscriptions,
        ("plan", "status"),
        shared=True,
    )
    for name, text, read in (
        ("stripe_payment_value", "Sum of all payments in the ledger, in major units.", _paid),
        ("stripe_refund_value", "Sum of all refunds in the ledger, in major units.", _refunded),
    ):
        yield StateMetric(name, text, read, ("currency",), kind="counter", shared=True)


def _dora_metrics() -> Iterator[StateMetric]:
    labels = ("environment",)
    for name, text, buckets, bounds in (
        (
            "lead_time_seconds",
            "Time from a commit to the first deployment with it, over all commits.",
            dora.read_lead_times,
            dora.LEAD_BUCKETS,
        ),
        (
            "mttr_seconds",
            "Time from opening to resolving an incident, over all incidents.",
            dora.read_repair_times,
            dora.REPAIR_BUCKETS,
        ),
    ):
        yield StateMetric(name, text, buckets, labels, kind="histogram", shared=True, bounds=bounds)
    for name, text, read in (
        ("deployment_frequency", "Successful deployments a day, over 30 days.", dora.read_frequencies),
        (
            "change_failure_rate",
            "Share of successful deployments with an incident, over 30 days.",
            dora.read_failure_rates,
        ),
        (
            "deployment_rework_rate",
            "Share of successful deployments that were hotfixes, over 30 days.",
            dora.read_rework_rates,
        ),
    ):
        yield StateMetric(name, text, read, labels, shared=True)
    yield StateMetric(
        "dora_sample_size",
        "Number of samples behind each figure of the last 30 days.",
        dora.count_samples,
        ("metric", "environment"),
        shared=True,
    )


def _up(answers: bool) -> Iterator[Reading]:
    yield (), float(answers)


def _sign_ins() -> Iterator[Reading]:
    yield (), float(sessions.count_active())


def _mails_pending() -> Iterator[Reading]:
    yield (), float(email.count_pending_emails())


def _blocks() -> Iterator[Reading]:
    yield (), float(blocks.count_active())


def _subscriptions() -> Iterator[Reading]:
    for labels, count in billing.count_subscriptions_by_status():
        yield labels, float(count)


def _paid() -> Iterator[Reading]:
    for currency, value in billing.sum_payments_by_currency():
        yield (currency,), float(value)


def _refunded() -> Iterator[Reading]:
    for currency, value in billing.sum_refunds_by_currency():
        yield (currency,), float(value)


def _jobs_pending() -> Iterator[Reading]:
    for kind, count in jobs.count_pending_jobs().items():
        yield (kind,), float(count)


def _jobs_dead() -> Iterator[Reading]:
    for kind, count in jobs.count_dead_jobs().items():
        yield (kind,), float(count)
