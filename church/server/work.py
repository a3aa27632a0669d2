"""The worker process: runs queued and scheduled jobs until a signal stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from church.config import load_settings

if TYPE_CHECKING:
    from flask import Flask

WITH_WORK = "_CHURCH_WITH_WORK"
"""Environment variable by which ``flask church run`` has gunicorn's master fork this process, too."""


def run_work(load_app: Callable[[], Flask]) -> None:
    """Run jobs until SIGTERM or SIGINT. ``load_app`` makes the app; telemetry starts before it."""
    from church import jobs, telemetry  # noqa: PLC0415 - the master forks before it needs any of it
    from church.services import pages  # noqa: PLC0415

    telemetry.start_process(load_settings(), "work")
    stop = threading.Event()
    try:
        app = load_app()
        pages.queue_index(app)  # the pages may have changed while no worker ran
        pages.start_watcher(app, stop)
        jobs.run_worker(app)
    finally:
        stop.set()
        telemetry.end_process()
