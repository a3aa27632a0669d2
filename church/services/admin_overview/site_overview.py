"""What the first page of the admin area and its page of health show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from church.errors import UnavailableError
from church.extensions import db
from church.lib.version import COMMIT, VERSION
from church.services import sessions
from church.services.admin_overview import counts, health
from church.services.admin_overview.content import ContentState, read_content
from church.services.admin_overview.counts import MemberCounts, WorkCounts
from church.services.admin_overview.first_steps import FirstStep, list_first_steps
from church.services.admin_overview.health import PartHealth
from church.services.admin_overview.last_errors import ErrorLog, list_last_errors
from church.services.admin_overview.page_reports import PageReportLists, list_page_reports
from church.services.billing import PaymentFacts, read_payment_facts

if TYPE_CHECKING:
    from church.config import Settings


@dataclass(frozen=True)
class SiteOverview:
    """The first page of the admin area. What comes from the database is None while that is down."""

    version: str
    commit: str
    environment: str
    parts: list[PartHealth]
    members: MemberCounts | None
    signed_in: int | None
    open_reports: int | None
    first_steps: list[FirstStep]


@dataclass(frozen=True)
class SiteHealth:
    """The state of each part, what is wrong with the content, and the last errors of this host."""

    version: str
    commit: str
    environment: str
    parts: list[PartHealth]
    content: ContentState
    reports: PageReportLists
    errors: ErrorLog


def read_overview(settings: Settings) -> SiteOverview:
    """Read the counts of today and check every part once; one that does not answer does not hide the others."""
    numbers, content = _read_numbers(), read_content()
    return SiteOverview(
        version=VERSION,
        commit=COMMIT,
        environment=settings.environment,
        parts=_check_parts(settings, numbers, content),
        members=numbers.members if numbers is not None else None,
        signed_in=numbers.signed_in if numbers is not None else None,
        open_reports=numbers.work.open_reports if numbers is not None else None,
        first_steps=list_first_steps(settings, numbers.members if numbers is not None else None),
    )


def read_health(settings: Settings) -> SiteHealth:
    """Check every part once. A part that does not answer is reported and does not hide the others."""
    content = read_content()
    return SiteHealth(
        version=VERSION,
        commit=COMMIT,
        environment=settings.environment,
        parts=_check_parts(settings, _read_numbers(), content),
        content=content,
        reports=list_page_reports(),
        errors=list_last_errors(settings.log_dir / "error.log"),
    )


@dataclass(frozen=True)
class _Numbers:
    members: MemberCounts
    work: WorkCounts
    signed_in: int
    payments: PaymentFacts


def _check_parts(settings: Settings, numbers: _Numbers | None, content: ContentState) -> list[PartHealth]:
    work, payments = (numbers.work, numbers.payments) if numbers is not None else (None, None)
    return [*health.check_parts(settings, work, payments), health.judge_content(content)]


def _read_numbers() -> _Numbers | None:
    """Read the counts; None while the database is down."""
    try:
        with db.read() as session:
            members = counts.count_members(session)
            work = counts.count_work(session, health.LATE_AFTER)
            payments = read_payment_facts(session)
        return _Numbers(members, work, sessions.count_active(), payments)
    except (UnavailableError, SQLAlchemyError):
        return None
