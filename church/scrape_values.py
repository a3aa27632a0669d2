"""Which state a scrape reads: the metrics of rows, servers and disks, given to the telemetry as callables."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from church import jobs
from church.extensions import db, store
from church.services import sessions
from church.services.billing import scrape_counts as billing_scrape_counts
from church.services.dora import scrape_counts as dora_scrape_counts
from church.services.email import queue
from church.telemetry import StateMetric, Telemetry

if TYPE_CHECKING:
    from flask import Flask

    from church.config import Settings

Reading = tuple[tuple[str, ...], float]


def register(app: Flask, telemetry: Telemetry) -> None:
    """Tell the scrape of ``app`` what to read."""
    settings: Settings = app.config["CHURCH"]

    def disks() -> Iterator[Reading]:
        folders = {"instance": settings.instance, "logs": settings.log_dir, "videos": settings.video_dir}
        for name, path in folders.items():
            if path.exists():
                yield (name,), float(shutil.disk_usage(path).free)

    telemetry.add_state(
        StateMetric("database_up", "1 while the database answers.", lambda: _up(db.probe().answers)),
        StateMetric("store_up", "1 while the shared store answers.", lambda: _up(store.ping())),
        StateMetric("disk_free_bytes", "Free space of the disk below a folder of the site.", disks, ("path",)),
        StateMetric("auth_sessions_active", "Sign-ins that are good, from their rows.", _sign_ins, shared=True),
        StateMetric(
            "jobs_pending", "Jobs that wait to be done, from the queue.", _jobs_pending, ("kind",), shared=True
        ),
        StateMetric(
            "jobs_dead", "Jobs that gave up and wait for somebody to look.", _jobs_dead, ("kind",), shared=True
        ),
        StateMetric("mail_pending", "Mails that wait to be sent, from their rows.", _mails_pending, shared=True),
        *_memberships(),
        *_deliveries(),
    )


def _memberships() -> Iterator[StateMetric]:
    yield StateMetric(
        "stripe_subscriptions_active",
        "Subscriptions that have not ended, from their rows.",
        _subscriptions,
        ("plan", "status"),
        shared=True,
    )
    for name, words, read in (
        ("stripe_payment_value", "All payments ever, from the ledger, in major units.", _paid),
        ("stripe_refund_value", "All refunds ever, from the ledger, in major units.", _refunded),
    ):
        yield StateMetric(name, words, read, ("currency",), kind="counter", shared=True)


def _deliveries() -> Iterator[StateMetric]:
    labels = ("environment",)
    for name, words, buckets, bounds in (
        (
            "lead_time_seconds",
            "From a commit to the first deployment that delivered it, of all there ever were.",
            dora_scrape_counts.lead_times,
            dora_scrape_counts.LEAD_BUCKETS,
        ),
        (
            "mttr_seconds",
            "From opened to resolved, of all incidents there ever were.",
            dora_scrape_counts.repair_times,
            dora_scrape_counts.REPAIR_BUCKETS,
        ),
    ):
        yield StateMetric(name, words, buckets, labels, kind="histogram", shared=True, bounds=bounds)
    for name, words, read in (
        ("deployment_frequency", "Successful deployments a day, over 30 days.", dora_scrape_counts.frequencies),
        (
            "change_failure_rate",
            "Successful deployments with an incident, over 30 days.",
            dora_scrape_counts.failure_rates,
        ),
        (
            "deployment_rework_rate",
            "Successful deployments that were hotfixes, over 30 days.",
            dora_scrape_counts.rework_rates,
        ),
    ):
        yield StateMetric(name, words, read, labels, shared=True)
    yield StateMetric(
        "dora_sample_size",
        "How many things each figure of the last 30 days is made of.",
        dora_scrape_counts.sample_sizes,
        ("metric", "environment"),
        shared=True,
    )


def _up(answers: bool) -> Iterator[Reading]:
    yield (), float(answers)


def _sign_ins() -> Iterator[Reading]:
    yield (), float(sessions.active_count())


def _mails_pending() -> Iterator[Reading]:
    yield (), float(queue.pending_count())


def _subscriptions() -> Iterator[Reading]:
    for labels, count in billing_scrape_counts.subscriptions_by_status():
        yield labels, float(count)


def _paid() -> Iterator[Reading]:
    for currency, value in billing_scrape_counts.paid_by_currency():
        yield (currency,), float(value)


def _refunded() -> Iterator[Reading]:
    for currency, value in billing_scrape_counts.refunded_by_currency():
        yield (currency,), float(value)


def _jobs_pending() -> Iterator[Reading]:
    for kind, count in jobs.pending_counts().items():
        yield (kind,), float(count)


def _jobs_dead() -> Iterator[Reading]:
    for kind, count in jobs.dead_counts().items():
        yield (kind,), float(count)
