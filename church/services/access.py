"""Decide who may read a page or a video: everyone, members, or members with premium."""

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
    """

    member: bool = False
    premium: bool = False


ANONYMOUS = Reader()


def may_read(level: str, reader: Reader) -> bool:
    """Whether ``reader`` may read the whole text of a page of ``level``; an unknown level is closed to all."""
    if level == Access.PUBLIC:
        return True
    if level == Access.MEMBERS:
        return reader.member
    return level == Access.PREMIUM and reader.member and reader.premium
