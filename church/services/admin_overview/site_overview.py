"""What the first page of the admin area shows: health, version, counts and the last errors."""

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
    content: ContentState
    reports: PageReportLists
    errors: ErrorLog
    first_steps: list[FirstStep]


def read_overview(settings: Settings) -> SiteOverview:
    """Check every part once. A part that does not answer is reported and does not hide the others."""
    members, work, signed_in, payments = _numbers()
    content = read_content()
    return SiteOverview(
        version=VERSION,
        commit=COMMIT,
        environment=settings.environment,
        parts=[*health.check_parts(settings, work, payments), health.judge_content(content)],
        members=members,
        signed_in=signed_in,
        open_reports=work.open_reports if work is not None else None,
        content=content,
        reports=list_page_reports(),
        errors=list_last_errors(settings.log_dir / "error.log"),
        first_steps=list_first_steps(settings, members),
    )


def _numbers() -> tuple[MemberCounts | None, WorkCounts | None, int | None, PaymentFacts | None]:
    try:
        with db.read() as session:
            members = counts.count_members(session)
            work = counts.count_work(session, health.LATE_AFTER)
            payments = read_payment_facts(session)
        return members, work, sessions.count_active(), payments
    except (UnavailableError, SQLAlchemyError):
        return None, None, None, None
