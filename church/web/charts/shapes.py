"""What a chart is made of: positions and texts, which ``templates/_macros/charts.html`` draws.

Across, positions are percent of the plot, so that a chart fills any width; down, they are pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

HEIGHT = 180.0
"""Height of a plot, in pixels."""
TOP = 6.0
"""Room above the highest value."""
MOST_SERIES = 8
"""Series that can be told apart by colour and dashes."""


@dataclass(frozen=True)
class Tick:
    """A line of an axis with its label."""

    at: float
    words: str


@dataclass(frozen=True)
class Bar:
    """A bar, or one part of a stacked one; ``part`` names its look."""

    x: float
    y: float
    width: float
    height: float
    part: str
    words: str


@dataclass(frozen=True)
class Point:
    """A marker; ``kind`` names its shape."""

    x: float
    y: float
    kind: str
    words: str
    broken: bool = False


@dataclass(frozen=True)
class Line:
    """A series; ``path`` and ``area`` are in a box 1000 wide, ``look`` is from 1 to ``MOST_SERIES``."""

    name: str
    look: int
    path: str
    area: str = ""


@dataclass(frozen=True)
class Mark:
    """Something that happened: a deployment at one time, or an incident as long as ``width``."""

    kind: str
    x: float
    width: float
    words: str


@dataclass(frozen=True)
class TableRow:
    """The values of one moment."""

    at: datetime
    values: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """Everything that one chart shows. ``table`` has the same values as text, under ``names``."""

    rows: list[Tick]
    columns: list[Tick]
    bars: list[Bar] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    names: tuple[str, ...] = ()
    table: list[TableRow] = field(default_factory=list)
    start: datetime | None = None
    end: datetime | None = None
    left_out: int = 0
    """Series beyond those that can be told apart."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.bars and not self.points and not self.lines


def x_of(at: float, start: float, end: float) -> float:
    """Return the position of a time, in percent of the plot."""
    return round(100 * (at - start) / ((end - start) or 1), 2)


def y_of(value: float, low: float, high: float) -> float:
    """Return the position of a value, in pixels from the top."""
    return round(HEIGHT - (HEIGHT - TOP) * ((value - low) / ((high - low) or 1)), 1)
