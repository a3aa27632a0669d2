"""One job done by the process that queued it, such as a command that shows how far it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from church.config import current_settings
from church.errors import UnavailableError
from church.extensions import db
from church.jobs import queue
from church.jobs.queue import Lease

log = logging.getLogger("church.jobs")


@contextmanager
def hold_job(unique_key: str) -> Iterator[Lease | None]:
    """Hold the pending job of a key, and do it in the body; None where the worker process has it already.

    What the body raises gives the job back to the queue and goes on; a process that is killed leaves it to its lease.
    """
    with db.write() as session:
        lease = queue.take_named(session, unique_key, current_settings().jobs_lease)
    if lease is None:
        yield None
        return
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(app, lease, over), name="jobs-held", daemon=True)
    keeper.start()
    try:
        yield lease
    except BaseException:
        with suppress(UnavailableError, SQLAlchemyError), db.write() as session:  # else its lease has to end
            queue.release(session, lease)
        raise
    else:
        with db.write() as session:
            queue.finish(session, lease)
    finally:
        over.set()
        keeper.join()


def _keep(app: Flask, lease: Lease, over: threading.Event) -> None:
    seconds = app.config["CHURCH"].jobs_lease
    while not over.wait(seconds / 3):
        try:
            with app.app_context(), db.write() as session:
                queue.renew(session, {lease.job_id: lease.token}, seconds)
        except (UnavailableError, SQLAlchemyError) as error:
            facts = {"event": "jobs.database", "reason": type(error).__name__}
            log.warning("lease not renewed, trying again", extra=facts)
