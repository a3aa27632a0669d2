"""Queued emails for tests, and their rows changed as time or a worker would change them."""

from __future__ import annotations

from sqlalchemy import update

from church.extensions import db
from church.models import Mail
from church.services.email import queue as email_queue

ADA = "ada@example.org"


def queue(template: str = "password_changed", recipient: str = ADA) -> bool:
    """Queue an email; False if the limit of the address refuses it."""
    with db.write() as session:
        return email_queue.queue_email(session, template, recipient=recipient)


def set_all(**values: object) -> None:
    """Set columns of all emails."""
    with db.write() as session:
        session.execute(update(Mail).values(**values))
