"""The blocked networks in the database: block one, lift a block, list those in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session, aliased

from church.database.named_locks import take_named_lock
from church.database.paging import NEWEST, ListPage, Place, fetch_page
from church.database.upsert import insert_or_update
from church.errors import ConflictError, NotFoundError
from church.extensions import db
from church.lib.network.addresses import IPNetwork
from church.models import BlockedNetwork, User
from church.models.base import utc_now
from church.services import audit
from church.services.audit import Actor, Person
from church.services.blocks.host_copy import ActiveBlocks
from church.services.blocks.networks import Own, check_block, read_network

MAX_ACTIVE = 5_000


class UnknownBlockError(NotFoundError):
    """The network is not blocked by itself; ``wider`` are blocked networks that it is in."""

    def __init__(self, network: str, wider: Sequence[str] = ()) -> None:
        hint = f" by itself. It is in {', '.join(wider)}, which can be unblocked." if wider else "."
        super().__init__(f"{network} is not blocked{hint}")


@dataclass(frozen=True)
class BlockView:
    """A block in force."""

    network: str
    until: datetime
    reason: str
    by: Person | None
    created_at: datetime


def block_network(text: str, until: datetime, reason: str, own: Own, actor: Actor) -> str:
    """Block an address or network, or change its block; returns its canonical form.

    Raises FieldErrors for ``network``, ``until`` and ``reason``, and ConflictError if too many are blocked.
    """
    network = read_network(text)
    reason = check_block(network, until, reason, own)
    name = str(network)
    with db.write() as session:
        revision = _next_revision(session)
        if _count_active(session) >= MAX_ACTIVE:
            raise ConflictError(f"At most {MAX_ACTIVE:,} networks can be blocked. Lift a block first.")
        facts = {"until": until, "reason": reason, "blocked_by": actor.user_id, "created_at": utc_now()}
        insert_or_update(session, BlockedNetwork, {"network": name}, {**facts, "lifted_at": None, "revision": revision})
        audit.record_by(
            session, "network.blocked", actor, network=name, until=until.isoformat(timespec="minutes"), reason=reason
        )
    return name


def lift_block(text: str, actor: Actor) -> str:
    """Lift a block; returns the network's canonical form. Raises FieldErrors and UnknownBlockError."""
    name = str(read_network(text))
    with db.write() as session:
        revision = _next_revision(session)
        row = session.scalars(select(BlockedNetwork).where(BlockedNetwork.network == name, in_force())).one_or_none()
        if row is None:
            raise UnknownBlockError(name, _find_wider(session, read_network(text)))
        row.lifted_at, row.revision = utc_now(), revision
        audit.record_by(session, "network.unblocked", actor, network=name)
    return name


def list_active(place: Place = NEWEST) -> ListPage[BlockView]:
    """List the blocks in force, newest first, in pages."""
    with db.read() as session:
        found = fetch_page(session, _select_active(), BlockedNetwork.id, BlockedNetwork.created_at, place)
    return found.convert(lambda row: _view(*row))


def list_all() -> list[BlockView]:
    """List all blocks in force, newest first: at most ``MAX_ACTIVE``."""
    with db.read() as session:
        rows = session.execute(_select_active().order_by(BlockedNetwork.id.desc())).all()
    return [_view(row, ref, name) for row, ref, name in rows]


def count_active() -> int:
    """Count the blocks in force."""
    with db.read() as session:
        return _count_active(session)


def find_revision() -> int:
    """The number of the last change; 0 if there was none."""
    with db.read() as session:
        return _find_revision(session)


def load_active() -> ActiveBlocks:
    """Load what a host needs to know of the blocks in force."""
    columns = select(BlockedNetwork.network, BlockedNetwork.until).where(in_force()).order_by(BlockedNetwork.id)
    with db.read() as session:
        revision = _find_revision(session)  # first: a change between the two is then found to be new
        rows = session.execute(columns).all()
    return ActiveBlocks(revision, tuple((network, until.timestamp()) for network, until in rows))


def in_force() -> ColumnElement[bool]:
    """The condition of a block that refuses requests now."""
    return and_(BlockedNetwork.lifted_at.is_(None), BlockedNetwork.until > utc_now())


def _select_active() -> Select[BlockedNetwork, str, str]:
    """Blocks in force, each with ref and name of the admin."""
    giver = aliased(User)
    query = select(BlockedNetwork, giver.ref, giver.name)
    return query.outerjoin(giver, giver.id == BlockedNetwork.blocked_by).where(in_force())


def _next_revision(session: Session) -> int:
    take_named_lock(session, BlockedNetwork.__tablename__)
    return _find_revision(session) + 1


def _find_revision(session: Session) -> int:
    return session.scalar(select(func.max(BlockedNetwork.revision))) or 0


def _find_wider(session: Session, network: IPNetwork) -> list[str]:
    """The blocked networks that a network is a part of, the widest first."""
    parents = [str(network.supernet(new_prefix=bits)) for bits in range(network.prefixlen)]
    rows = session.scalars(select(BlockedNetwork.network).where(BlockedNetwork.network.in_(parents), in_force()))
    return sorted(rows, key=parents.index)


def _count_active(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(BlockedNetwork).where(in_force())) or 0


def _view(row: BlockedNetwork, ref: str | None, name: str | None) -> BlockView:
    by = Person(ref, name or "") if ref is not None else None
    return BlockView(row.network, row.until, row.reason, by, row.created_at)
