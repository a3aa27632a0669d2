"""Account keys: the mailbox in lower case and composed (NFC), the domain in its A-labels.

Before, the whole address was case-folded, so that ``straße@`` and ``strasse@`` were one account. Accounts are read in
batches, oldest first. If two would get the same key, the older gets it, unless the newer has had it all along; the
other keeps its old key, by which its owner still signs in. ``flask church doctor`` names both.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator

import idna
import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BATCH = 2000
_users = sa.table("users", sa.column("id"), sa.column("email"), sa.column("email_key"))


def upgrade() -> None:
    _change_keys(_make_key)


def downgrade() -> None:
    _change_keys(str.casefold)


def _make_key(email: str) -> str:
    if email.isascii():
        return email.lower()
    mailbox, at, domain = email.rpartition("@")
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFC", mailbox).lower())
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        ascii_domain = unicodedata.normalize("NFC", domain).lower()
    return f"{lowered}{at}{ascii_domain}"


def _change_keys(make_key: Callable[[str], str]) -> None:
    connection = op.get_bind()
    changes = ((user_id, make_key(email), key) for user_id, email, key in _read_users(connection))
    blocked = _take_keys(connection, ((user_id, wanted) for user_id, wanted, key in changes if wanted != key))
    # A key may have become free by the change of an account that was read later.
    while blocked and len(left := _take_keys(connection, blocked)) < len(blocked):
        blocked = left


def _take_keys(connection: sa.Connection, changes: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Give accounts their keys. Returns those whose key another account has, or an older one waits for."""
    blocked: list[tuple[int, str]] = []
    awaited: set[str] = set()
    for user_id, wanted in changes:
        if wanted in awaited or _is_taken(connection, wanted):
            blocked.append((user_id, wanted))
            awaited.add(wanted)
        else:
            connection.execute(sa.update(_users).where(_users.c.id == user_id).values(email_key=wanted))
    return blocked


def _read_users(connection: sa.Connection) -> Iterator[tuple[int, str, str]]:
    query = sa.select(_users).where(_users.c.email_key.is_not(None), _users.c.email.is_not(None))
    last = 0
    while rows := connection.execute(query.where(_users.c.id > last).order_by(_users.c.id).limit(_BATCH)).all():
        for row in rows:
            yield row.id, row.email, row.email_key
        last = rows[-1].id


def _is_taken(connection: sa.Connection, key: str) -> bool:
    return connection.execute(sa.select(_users.c.id).where(_users.c.email_key == key)).first() is not None
