"""Find what an admin has typed or pasted into the box: a member, a page, an address, an event or an id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from church.config import Settings
from church.errors import InvalidError, UnavailableError
from church.extensions import db
from church.lib.network.addresses import parse_address
from church.services import accounts, telemetry_queries
from church.services.access import Reader
from church.services.accounts import MemberFilters, MemberPlace
from church.services.pages import current_pages

MOST = 10
"""Members and pages that are listed, of each."""
_EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_ID = re.compile(r"[0-9a-fA-F]{16,32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WORD = re.compile(r"[\w.:/+-]{3,128}")
_TRACE = 32  # digits of a trace id; a request id may have as many


class Kind(StrEnum):
    """What was found."""

    REQUEST = "request"
    TRACE = "trace"
    ERROR = "error"
    MEMBER = "user_ref"
    ADDRESS = "ip"
    EVENT = "event"
    METRIC = "metric"
    PAGE = "page"


@dataclass(frozen=True)
class Hit:
    """One thing that fits; ``value`` is the id by which its page finds it, ``exact`` whether it is what was typed."""

    kind: Kind
    value: str
    title: str
    exact: bool


def find_anything(settings: Settings, query: str, reader: Reader) -> list[Hit]:
    """Find what fits ``query``: what is typed exactly comes first. Without the telemetry store, ids go by their form.

    Raises DatabaseDownError, DatabaseBusyError.
    """
    recorded = _recorded(settings, query)
    hits = [*(_by_form(query) if recorded is None else recorded), *_members(query), *_pages(query, reader)]
    unique: dict[tuple[Kind, str], Hit] = {}
    for hit in sorted(hits, key=lambda hit: not hit.exact):
        unique.setdefault((hit.kind, hit.value), hit)
    return list(unique.values())


def _recorded(settings: Settings, query: str) -> list[Hit] | None:
    """What the telemetry store has of this id or name, never an email address; None if it does not answer."""
    if not _WORD.fullmatch(query):
        return []
    try:
        rows = telemetry_queries.ask(settings, "ids.resolve", id=query).rows
    except (UnavailableError, InvalidError):
        return None
    return [Hit(Kind(row["kind"]), row["value"], row["value"], exact=True) for row in rows if row["kind"] in set(Kind)]


def _by_form(query: str) -> Iterator[Hit]:
    """Recognize by its form what only records have."""
    try:
        address = str(parse_address(query))
    except ValueError:
        address = ""
    if address:
        yield Hit(Kind.ADDRESS, address, address, exact=True)
    elif _EVENT.fullmatch(query):
        yield Hit(Kind.EVENT, query, query, exact=False)
    elif _ID.fullmatch(query):
        yield Hit(Kind.REQUEST, query, query, exact=False)
        if len(query) == _TRACE:
            yield Hit(Kind.TRACE, query, query, exact=False)


def _members(query: str) -> Iterator[Hit]:
    found = accounts.search_accounts(MemberFilters(query), MemberPlace(size=MOST))
    for member in found.members:
        exact = query.lower() in {member.ref, (member.email or "").lower(), member.name.lower()}
        yield Hit(Kind.MEMBER, member.ref, member.label, exact)


def _pages(query: str, reader: Reader) -> Iterator[Hit]:
    pages, slug = current_pages(), query.removeprefix("/pages/").strip("/")
    if pages.address(slug, reader) is not None:
        yield Hit(Kind.PAGE, slug, slug, exact=True)
    for card in pages.search(db, query, reader, limit=MOST).cards[:MOST]:
        yield Hit(Kind.PAGE, card.slug, card.title, exact=query.lower() == card.title.lower())
