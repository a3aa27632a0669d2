"""Jobs of the background queue, their schedules, and emails. The rules of the queue are in ``church.jobs.queue``."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Double, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText

# As text and not as a parameter: PostgreSQL's generic plans can't match a parameter with the partial index.
PENDING_ONLY = text("state = 'pending'")


class JobState(StrEnum):
    """State of a job; ``dead`` has no attempts left and waits for an admin."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class Job(Base):
    """One job. While it runs, ``lease`` is the token of the thread that may finish it."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'running', 'done', 'dead')", name="state"),
        Index("ix_jobs_state_run_at", "state", "run_at"),
        Index("ix_jobs_state_id", "state", "id"),
        Index(
            "uq_jobs_pending_key",
            "unique_key",
            unique=True,
            sqlite_where=PENDING_ONLY,
            postgresql_where=PENDING_ONLY,
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    unique_key: Mapped[str | None]
    state: Mapped[str] = mapped_column(default=JobState.PENDING.value)
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    run_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    lease: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(PlainText)
    request_id: Mapped[str | None] = mapped_column(index=True)
    traceparent: Mapped[str | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Schedule(Base):
    """When a kind of job is due next, so that several hosts together queue it once a period."""

    __tablename__ = "schedules"

    kind: Mapped[str] = mapped_column(primary_key=True)
    every_seconds: Mapped[float] = mapped_column(Double)
    next_at: Mapped[datetime]
    last_at: Mapped[datetime | None]


class MailState(StrEnum):
    """State of an email; ``failed`` has no attempts left and waits for an admin."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class Mail(Base):
    """One email to one address. ``template`` names its text; ``context`` contains no secrets."""

    __tablename__ = "mails"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'sent', 'failed')", name="state"),
        Index("ix_mails_state_created_at", "state", "created_at"),
        Index("ix_mails_state_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    template: Mapped[str]
    recipient: Mapped[str] = mapped_column(PlainText)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    link_id: Mapped[int | None] = mapped_column(ForeignKey("links.id", ondelete="SET NULL"), index=True)
    context: Mapped[dict[str, Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"))
    state: Mapped[str] = mapped_column(default=MailState.PENDING.value)
    attempts: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str | None] = mapped_column(PlainText)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
