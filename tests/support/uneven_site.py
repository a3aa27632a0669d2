"""A site of the tests with a view that fails or is slow where its address says so, for gunicorn to load."""

from __future__ import annotations

import time

from flask import request
from sqlalchemy import text

from church import create_app, telemetry
from church.extensions import db
from tests.support.helpers import add_view

SLOW_SECONDS = 1.05


def _work() -> str:
    with telemetry.span("uneven.work"), db.read() as session:
        session.execute(text("SELECT count(*) FROM users"))
        if "slow" in request.args:
            time.sleep(SLOW_SECONDS)
        session.execute(text("SELECT count(*) FROM jobs"))
        if "fails" in request.args:
            raise LookupError("as its address says")
    return "worked"


app = create_app()
add_view(app, "/uneven", _work)
