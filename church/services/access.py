"""Decide who may read a page or a video: everyone, members, or members with premium. Admins may read everything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Access(StrEnum):
    """The access level of a page or a video."""

    PUBLIC = "public"
    MEMBERS = "members"
    PREMIUM = "premium"


@dataclass(frozen=True)
class Reader:
    """What decides which pages a visitor may read.

    ``member`` is True for a signed-in account with a confirmed address; without that, a visitor is a stranger.
    ``admin`` opens everything, drafts too, and needs a confirmed address as well.
    """

    member: bool = False
    premium: bool = False
    admin: bool = False


ANONYMOUS = Reader()


def may_read(level: str, reader: Reader) -> bool:
    """Whether ``reader`` may read the whole text of a page of ``level``; an unknown level is open to admins only."""
    if level == Access.PUBLIC or reader.admin:
        return True
    if level == Access.MEMBERS:
        return reader.member
    return level == Access.PREMIUM and reader.member and reader.premium


def may_read_drafts(reader: Reader) -> bool:
    """Whether ``reader`` may read pages that are not published."""
    return reader.admin


def outcome_for(reader: Reader) -> str:
    """Return the outcome by which metrics count what ``reader`` read or watched: admins apart from the audience."""
    return "admin" if reader.admin else "granted"
