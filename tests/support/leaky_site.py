"""A site of the tests that fails with secrets in hand: in messages, arguments, variables and jobs."""

from __future__ import annotations

import logging
from typing import Any

from flask import request
from sqlalchemy import bindparam, text

from church import create_app, jobs
from church.extensions import db
from church.web import identity
from tests.support.helpers import add_view

log = logging.getLogger("church.leaky")


def _spill(password: str, email: str, key: str, card: str) -> str:
    """Fail with all of it in variables, and with what has a form or a name of its own in the message."""
    held = {"password": password, "email": email}
    with db.read() as session:
        session.execute(text("SELECT count(*) FROM users WHERE name = :name").bindparams(bindparam("name", password)))
    log.warning("no charge for %s with %s", email, key, extra={"password": password, "body": held})
    raise LookupError(f"no charge for {email}, password={password} key {key} card {card} {held}")


def _leak() -> str:
    identity.viewer()
    sent = {name: request.form[name] for name in ("password", "email", "key", "card")}
    with db.write() as session:
        jobs.enqueue(session, "test.leak", sent, max_attempts=1)
    return _spill(**sent)


@jobs.handler("test.leak")
def _leak_in_a_job(payload: dict[str, Any]) -> None:
    _spill(**payload)


app = create_app()
add_view(app, "/leak", _leak, methods=["POST"])
