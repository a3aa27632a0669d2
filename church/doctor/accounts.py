"""Check that no two accounts have the same address."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from church.config import Settings
from church.doctor.dependencies import explain_unread, query_database
from church.doctor.findings import Finding
from church.services import accounts

_FIX = (
    "each still signs in with the address as its owner wrote it; ask which account to keep, "
    "and disable the other at /admin/members"
)
_MOST = 5  # pairs named


def check_accounts(settings: Settings) -> Finding:
    """Check for accounts that have one address in two spellings: an earlier release took them for two."""
    try:
        pairs = query_database(settings, accounts.list_accounts_with_same_address)
    except DBAPIError as error:
        return explain_unread("accounts", error)
    if not pairs:
        return "ok", "each has an address of its own", ""
    named = "; ".join(f"{older} and {newer}" for older, newer in pairs[:_MOST])
    more = f"; {len(pairs) - _MOST} more" if len(pairs) > _MOST else ""
    return "warn", f"same address twice: {named}{more}", _FIX
