"""Who may read a page: the one place that decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Access(StrEnum):
    """How far a page is open."""

    PUBLIC = "public"
    MEMBERS = "members"
    PREMIUM = "premium"


@dataclass(frozen=True)
class Reader:
    """What about a visitor decides what they may read.

    A ``member`` is signed in to an account whose address is confirmed; to one that is not, a visitor is a stranger.
    """

    member: bool = False
    premium: bool = False


ANONYMOUS = Reader()


def may_read(level: str, reader: Reader) -> bool:
    """Whether ``reader`` may have the whole text of a page of ``level``; a level nobody knows is closed to all."""
    if level == Access.PUBLIC:
        return True
    if level == Access.MEMBERS:
        return reader.member
    return level == Access.PREMIUM and reader.member and reader.premium
