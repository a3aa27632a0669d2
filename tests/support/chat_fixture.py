"""Members for chat tests, and a recorder of what the worker publishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from sqlalchemy import func, select

from church.extensions import db
from church.models import AuditEntry, ChatMessage, ChatReport, ChatSanction
from church.services import live_broadcast
from church.services.audit import Actor
from church.services.sessions import SignedIn
from tests.support.people import add_user

ROOM = "public"


def speaker(app: Flask, name: str = "Ada", *, premium: bool = False, role: str = "member") -> SignedIn:
    """Add a member with this name and return them signed in."""
    user = add_user(app, f"{name.lower()}@church.example", name=name, role=role, password_hash="x")
    return SignedIn(user.id, user.ref, name, user.email or "", role, True, 0, "", premium=premium)


def acting(signed_in: SignedIn) -> Actor:
    """The admin as the actor of a moderation."""
    return Actor(signed_in.user_id, "web", "192.0.2.1")


@contextmanager
def published() -> Iterator[list[tuple[str, str]]]:
    """Record what this worker publishes inside the block: (channel, line)."""
    heard: list[tuple[str, str]] = []
    end = live_broadcast.add_listener(lambda channel, line: heard.append((channel, line)))
    yield heard
    end()


def audited() -> list[tuple[str, int | None, int | None]]:
    """List the audit rows: action, actor, subject."""
    with db.read() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    return [(row.action, row.actor_id, row.subject_id) for row in rows]


def kept(model: type[ChatMessage | ChatReport | ChatSanction]) -> int:
    """Count the rows of a table."""
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0
