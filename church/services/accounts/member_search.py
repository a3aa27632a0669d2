"""Search accounts by a part of name or address in milliseconds, among a million.

Three or more letters are looked up in an index of trigrams (see ``church.database.member_index``). Fewer letters have
no trigram: they are found anywhere in the newest accounts, and in older ones at the beginning of name or address. So
is every query where PostgreSQL lacks the index. Each step reads a bounded number of rows, whatever is searched.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal_column, or_, select, table, text
from sqlalchemy import literal_column as raw
from sqlalchemy.orm import Session

from church.database.member_index import WORDS, SearchKind, find_kind
from church.lib.email_addresses import make_key
from church.models import User

WALKED = 2000
"""The newest accounts, or those of a rare filter, that are read one by one."""
_MOST_WALKS = 3
_TRIGRAM = 3
_SHORTEST_REF = 4  # shorter ones match too many accounts to be of use
_TOP = "\U0010ffff"
_FTS = table("users_search")  # no model: only triggers write to it
_FTS_ID: ColumnElement[int] = raw("users_search.rowid")

Found = list[tuple[int, int]]


class MemberSearch:
    """One search, of accounts with ``conditions``; ``rare`` is whether these are few, None if unknown.

    ``beginnings`` is whether some step looked at the beginning of name or address alone."""

    def __init__(
        self, session: Session, conditions: Sequence[ColumnElement[bool]], query: str, rare: bool | None = None
    ) -> None:
        self._session = session
        self._conditions = and_(*conditions)
        self._query = unicodedata.normalize("NFC", query)
        self._rare = rare
        self.beginnings = False

    def find(self, before: int | None, after: int | None, limit: int) -> Found:
        """Find the IDs of matching accounts: newest first, or oldest first those ``after`` an ID."""
        window = _Window(before, after, limit)
        if not self._query:
            return self._fetch(window.cut(self._accounts(), User.id))
        kind = find_kind(self._session)
        words = [word for word in _foldable(self._query) if len(word) >= _TRIGRAM]
        if kind is SearchKind.TRIGRAMS_OF_SQLITE and words:
            if self._is_rare():
                return self._merge(window, self._walk(window), self._by_ref(window))
            return self._merge(window, self._by_trigrams(words, window), self._by_ref(window))
        return self._find_in_steps(window, indexed=kind is SearchKind.TRIGRAMS_OF_POSTGRESQL and bool(words))

    def _find_in_steps(self, window: _Window, *, indexed: bool) -> Found:
        """Read the next accounts one by one, on while many match. If that fills no page, look up the rest in an index.

        What is found often fills the page soon, and what is found seldom is cheap to sort.
        """
        walked: Found = []
        rest, complete, goes_on = window, False, True
        while goes_on:
            last, complete = self._end_of_walk(rest)
            step = self._fetch(rest.cut(self._accounts().where(_contains(self._query), rest.until(last)), User.id))
            walked, rest = walked + step, rest.beyond(last)
            goes_on = not complete and len(walked) < window.limit <= len(step) * _MOST_WALKS
        if complete or len(walked) >= window.limit:
            return self._merge(window, walked, self._by_ref(window))
        if indexed:
            return self._merge(window, walked, self._by_index(rest), self._by_ref(window))
        self.beginnings = True
        return self._merge(window, walked, self._by_beginning(rest), self._by_ref(window))

    # -- steps --------------------------------------------------------------------------------------------------------

    def _accounts(self) -> Select[int]:
        return select(User.id).where(self._conditions)

    def _is_rare(self) -> bool:
        """Whether the filters leave so few accounts that reading them is faster than a look into the index."""
        if self._rare is not None:
            return self._rare
        few = self._accounts().limit(WALKED + 1).subquery()
        return (self._session.scalar(select(func.count()).select_from(few)) or 0) <= WALKED

    def _walk(self, window: _Window) -> Found:
        return self._fetch(window.cut(self._accounts().where(_contains(self._query)), User.id))

    def _end_of_walk(self, window: _Window) -> tuple[int | None, bool]:
        """The last account that is read one by one, and whether it is the last of all."""
        ids = window.resized(WALKED).cut(self._accounts(), User.id).subquery()
        end = func.min(ids.c.id) if window.after is None else func.max(ids.c.id)
        last, count = self._session.execute(select(end, func.count()).select_from(ids)).one()
        return last, count < WALKED

    def _by_trigrams(self, words: Sequence[str], window: _Window) -> Found:
        match = " OR ".join('"{}"'.format(word.replace('"', '""')) for word in words)
        fitting = exists().where(User.id == _FTS_ID, self._conditions)
        found = select(_FTS_ID.label("id")).select_from(_FTS).where(raw("users_search").op("MATCH")(match), fitting)
        return self._fetch(window.cut(found, _FTS_ID))

    def _by_index(self, window: _Window) -> Found:
        """Look up PostgreSQL's index of trigrams, and sort what it finds: a walk along the IDs would read them all."""
        self._session.execute(text("SET LOCAL enable_seqscan = off"))
        hits = self._accounts().where(_contains(self._query)).cte("hits").prefix_with("MATERIALIZED")
        found = self._fetch(window.cut(select(hits.c.id), hits.c.id))
        self._session.execute(text("SET LOCAL enable_seqscan = on"))
        return found

    def _by_beginning(self, window: _Window) -> Found:
        sqlite = self._session.get_bind().dialect.name == "sqlite"
        begins = _begins_on_sqlite if sqlite else _begins
        name = User.name.collate("NOCASE") if sqlite else func.lower(User.name)
        starts = [begins(User.email_key, key) for key in sorted({self._query.lower(), make_key(self._query)})]
        starts += [begins(name, start) for start in sorted({_lower_ascii(one) for one in _spellings(self._query)})]
        return self._merge(window, *(self._sort(start, window) for start in starts))

    def _by_ref(self, window: _Window) -> Found:
        ref = self._query.lower()
        if len(ref) < _SHORTEST_REF or set(ref) - set("0123456789abcdef"):
            return []
        return self._sort(and_(User.ref >= ref, User.ref < ref + _TOP), window)

    def _sort(self, condition: ColumnElement[bool], window: _Window) -> Found:
        """Find by an index on something else than the ID, then sort: ``+`` keeps SQLite from a walk along the IDs."""
        key: Any = literal_column("+users.id") if self._session.get_bind().dialect.name == "sqlite" else User.id
        return self._fetch(window.cut(self._accounts().where(condition), key))

    # -- results ------------------------------------------------------------------------------------------------------

    def _fetch(self, statement: Select[Any]) -> Found:
        return [(found, found) for found in self._session.scalars(statement)]

    @staticmethod
    def _merge(window: _Window, *found: Found) -> Found:
        ids = {user_id for ids in found for user_id, _ in ids}
        return [(one, one) for one in sorted(ids, reverse=window.after is None)[: window.limit]]


class _Window:
    """The accounts that a page may have: so many before an ID, or after one."""

    def __init__(self, before: int | None, after: int | None, limit: int) -> None:
        self.before, self.after, self.limit = before, after, limit

    def cut(self, query: Select[Any], key: Any) -> Select[Any]:
        """Order a query by ID and cut it to the window."""
        if self.before is not None:
            query = query.where(key < self.before)
        if self.after is None:
            return query.order_by(key.desc()).limit(self.limit)
        return query.where(key > self.after).order_by(key).limit(self.limit)

    def until(self, last: int | None) -> ColumnElement[bool]:
        """Condition for the accounts up to the ``last`` one that is read."""
        if last is None:
            return User.id == -1
        return User.id >= last if self.after is None else User.id <= last

    def beyond(self, last: int | None) -> _Window:
        """The window behind ``last``."""
        return _Window(last, None, self.limit) if self.after is None else _Window(self.before, last, self.limit)

    def resized(self, limit: int) -> _Window:
        """The same place with another limit."""
        return _Window(self.before, self.after, limit)


def _spellings(query: str) -> list[str]:
    """The query in each form in which it may be stored.

    SQLite's LIKE and PostgreSQL with the locale C ignore case for ASCII alone. A domain is found as it is shown
    (``bücher``) and as it is sent (``xn--bcher-kva``).
    """
    if query.isascii():
        return [query.lower()]
    return sorted({query, query.lower(), query.upper(), query.title(), make_key(query)})


def _foldable(query: str) -> list[str]:
    """The spellings that differ where case is ignored for all letters, as SQLite's trigrams do."""
    return sorted({query.lower(), make_key(query)} | ({query} if not query.isascii() else set()))


def _contains(query: str) -> ColumnElement[bool]:
    """Match a part of a name or an address; % and _ are ordinary characters."""
    return or_(*(WORDS.icontains(spelling, autoescape=True) for spelling in _spellings(query)))


def _begins(column: Any, start: str) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = column.startswith(start, autoescape=True)
    return condition


def _begins_on_sqlite(column: Any, start: str) -> ColumnElement[bool]:
    """A range, for which SQLite uses an index; LIKE ignores case there and uses none."""
    return and_(column >= start, column < start + _TOP)


def _lower_ascii(spelling: str) -> str:
    """In lower case as PostgreSQL's ``lower`` has it in the locale C."""
    return "".join(char.lower() if char.isascii() else char for char in spelling)
