"""Blocks in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask

from church.errors import ConflictError
from church.extensions import db
from church.models import BlockedNetwork
from church.models.base import utc_now
from church.services import blocks
from church.services.audit import Actor
from church.services.blocks import Own, UnknownBlockError, rows
from church.services.blocks.cleanup import KEEP_ENDED, purge_ended
from tests.support.browsing import list_audit_actions
from tests.support.people import add_user

CLI = Actor(via="cli")


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def block(network: str = "203.0.113.7", hours: float = 1, reason: str = "", actor: Actor = CLI) -> str:
    return blocks.block_network(network, utc_now() + timedelta(hours=hours), reason, Own(), actor)


def age(network: str, by: timedelta) -> None:
    """Let time pass for a block."""
    with db.write() as session:
        row = session.query(BlockedNetwork).filter_by(network=network).one()
        row.until -= by
        if row.lifted_at is not None:
            row.lifted_at -= by


def active() -> list[str]:
    return [network for network, _ in blocks.load_active().networks]


def test_block_is_in_force_until_it_is_lifted_and_audited(app: Flask) -> None:
    admin = add_user(app, "ada@church.example")
    assert block("203.0.113.7/24", reason="Guesses", actor=Actor(admin.id, "web", "198.51.100.9")) == "203.0.113.0/24"
    [shown] = blocks.list_active()
    assert (shown.network, shown.reason) == ("203.0.113.0/24", "Guesses")
    assert shown.by is not None
    assert shown.by.ref == admin.ref
    assert blocks.count_active() == 1
    assert blocks.lift_block("203.0.113.0/24", CLI) == "203.0.113.0/24"
    assert (blocks.count_active(), active(), list(blocks.list_active())) == (0, [], [])
    assert list_audit_actions(app) == ["network.blocked", "network.unblocked"]


def test_blocking_again_changes_the_end_and_lifted_blocks_can_be_made_again() -> None:
    block(hours=1)
    block(hours=2, reason="Again")
    [shown] = blocks.list_all()
    assert (shown.reason, shown.until > utc_now() + timedelta(minutes=90)) == ("Again", True)
    blocks.lift_block("203.0.113.7", CLI)
    block()
    assert active() == ["203.0.113.7/32"]


def test_block_ends_at_its_time() -> None:
    block()
    age("203.0.113.7/32", timedelta(hours=2))
    assert (blocks.count_active(), active()) == (0, [])
    with pytest.raises(UnknownBlockError):
        blocks.lift_block("203.0.113.7", CLI)


def test_network_that_is_not_blocked_cannot_be_lifted() -> None:
    with pytest.raises(UnknownBlockError):
        blocks.lift_block("203.0.113.7", CLI)


@pytest.mark.parametrize(("wide", "narrow"), [("203.0.113.0/24", "203.0.113.7"), ("2001:db8::/32", "2001:db8:1::/48")])
def test_part_of_a_blocked_network_cannot_be_lifted_and_the_network_is_named(wide: str, narrow: str) -> None:
    block(wide)
    block("198.51.100.0/24")
    with pytest.raises(UnknownBlockError, match=f"It is in {wide}, which"):
        blocks.lift_block(narrow, CLI)
    blocks.lift_block(wide, CLI)
    with pytest.raises(UnknownBlockError, match=r"is not blocked\.$"):
        blocks.lift_block(narrow, CLI)


def test_every_change_has_a_higher_revision() -> None:
    seen = [blocks.find_revision()]
    for change in (block, lambda: block("198.51.100.9"), lambda: blocks.lift_block("203.0.113.7", CLI)):
        change()
        seen.append(blocks.load_active().revision)
    assert seen == [0, 1, 2, 3]


def test_number_of_blocks_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_ACTIVE", 1)
    block()
    with pytest.raises(ConflictError):
        block("198.51.100.9")
    blocks.lift_block("203.0.113.7", CLI)
    block("198.51.100.9")


def test_blocks_that_ended_long_ago_are_deleted_without_a_step_back_of_the_revision() -> None:
    for network in ("203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"):
        block(network)
    blocks.lift_block("203.0.113.1", CLI)
    blocks.lift_block("203.0.113.4", CLI)
    for network in ("203.0.113.1/32", "203.0.113.2/32", "203.0.113.4/32"):
        age(network, KEEP_ENDED + timedelta(hours=2))
    purge_ended({})
    with db.read() as session:
        left = {row.network for row in session.query(BlockedNetwork)}
    assert left == {"203.0.113.3/32", "203.0.113.4/32"}
    assert blocks.find_revision() == 6
