"""Check that the sums that triggers keep are those of the rows."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from church.config import Settings
from church.database.kept_sums import SumName, find_wrong_sums
from church.doctor.dependencies import explain_unread, query_database
from church.doctor.findings import Finding

_SECONDS = 4
"""Less than the doctor waits for a check: a million rows take about one."""
_FIX = "flask church recount; if that comes again, something changes the tables without their triggers"


def check_sums(settings: Settings) -> Finding:
    """Add up ledger, subscriptions and deliveries, and compare them with the sums that pages and metrics show."""
    try:
        wrong = query_database(settings, _find_wrong)
    except DBAPIError as error:
        return explain_unread("sums", error, seconds=_SECONDS)
    if not wrong:
        return "ok", "those of ledger, subscriptions and deliveries are right", ""
    return "warn", f"wrong: {', '.join(name.value for name in wrong)}", _FIX


def _find_wrong(session: Session) -> list[SumName]:
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL statement_timeout = '{_SECONDS}s'"))
    return find_wrong_sums(connection)
