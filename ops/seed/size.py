"""How large a seeded site is, and when its things happened."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

_GROWTH = 0.6
"""Below 1: a site gets more of everything each year."""
_MIXER = 0x9E3779B97F4A7C15
_LARGEST = 2**64 - 1


@dataclass(frozen=True)
class Size:
    """How many of each. The default is the site of a million."""

    members: int = 1_000_000
    pages: int = 20_000
    videos: int = 50_000
    ledger: int = 1_000_000
    events: int = 500_000
    messages: int = 200_000
    audit: int = 1_000_000
    deployments: int = 30_000
    years: int = 5

    def scaled(self, share: float) -> Size:
        """The same number of years with a share of everything else, at least ten of each."""
        counts = {one.name: getattr(self, one.name) for one in fields(self)}
        return Size(**{name: n if name == "years" else max(10, round(n * share)) for name, n in counts.items()})


MILLION = Size()
SMALL = Size(
    members=2000, pages=800, videos=200, ledger=2000, events=1000, messages=2000, audit=2000, deployments=800, years=2
)  # fmt: skip
"""A site that fills one part of each list, and has little more."""
PART = 60
"""Rows in the longest part of a list, and at least so many of what is rare."""


@dataclass(frozen=True)
class Span:
    """The time that the site has been running."""

    now: datetime
    years: int

    @property
    def start(self) -> datetime:
        return self.now - timedelta(days=365.25 * self.years)

    def at(self, fraction: float) -> datetime:
        """When the site had this fraction of what it has now."""
        return self.start + (self.now - self.start) * fraction**_GROWTH

    def fraction(self, moment: datetime) -> float:
        """The fraction of all things that was there at a moment: the reverse of ``at``."""
        share = (moment - self.start) / (self.now - self.start)
        return float(min(max(share, 0.0), 1.0) ** (1 / _GROWTH))


def rare(every: int, total: int) -> int:
    """How far apart rare things are among ``total``: ``every``, or less where they would not fill a part of a list."""
    return max(1, min(every, total // PART))


def scatter(number: int, salt: int = 0) -> int:
    """Give each number another one below 2**64: no two the same, and neighbours far apart."""
    mixed = ((number + salt * 0x1_0000_0001) * _MIXER) & _LARGEST
    mixed ^= mixed >> 29
    return (mixed * 0xBF58476D1CE4E5B9) & _LARGEST


def share(number: int, salt: int = 0) -> float:
    """A fraction from 0 to 1 that looks random and is always the same for a number."""
    return scatter(number, salt) / (_LARGEST + 1)


def dice(name: str) -> random.Random:
    """The random numbers of one table: they do not depend on the tables before it."""
    return random.Random(name)
