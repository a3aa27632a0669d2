"""Windows of time that a search reads one after the other: small ones first, so that a first page is quick.

How many rows a window has is estimated from the segments' times and counts of rows, as if each was even.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_GROWTH = 8
_MOST_ROWS = 1_000_000  # a window: between two of them a search sends what it has found, and may be stopped


class Piece(NamedTuple):
    """A segment, or the rows that are not sealed yet (no path); ``first`` and ``last`` ts in it, both inclusive."""

    path: str
    first: int
    last: int
    rows: int


class Window(NamedTuple):
    """The rows from ``begin`` until ``end``, and the pieces that may have some of them."""

    begin: int
    end: int
    pieces: list[Piece]


class _Stretch(NamedTuple):
    """A time in which the same pieces have rows; ``density``: how many in a microsecond."""

    begin: int
    end: int
    density: float


def list_windows(
    pieces: Sequence[Piece], span: tuple[int, int], first_rows: int, *, newest_first: bool
) -> Iterator[Window]:
    """Yield windows that cover all rows of the span once, in the order of time."""
    stretches = _list_stretches(pieces, span)
    for begin, end in _cut_newest_first(stretches, first_rows) if newest_first else _cut(stretches, first_rows):
        yield Window(begin, end, [piece for piece in pieces if piece.first < end and piece.last >= begin])


def _list_stretches(pieces: Sequence[Piece], span: tuple[int, int]) -> list[_Stretch]:
    changes: dict[int, float] = {}
    for piece in pieces:
        begin, end = max(piece.first, span[0]), min(piece.last + 1, span[1])
        if begin < end:
            density = piece.rows / (piece.last + 1 - piece.first)
            changes[begin] = changes.get(begin, 0.0) + density
            changes[end] = changes.get(end, 0.0) - density
    edges = sorted(changes)
    stretches, density = [], 0.0
    for begin, end in pairwise(edges):
        density += changes[begin]
        stretches.append(_Stretch(begin, end, max(density, 0.0)))
    return stretches


def _cut(stretches: Sequence[_Stretch], first_rows: int) -> Iterator[tuple[int, int]]:
    """Cut a time into windows of so many rows, each eight times as many as the one before."""
    if not stretches:
        return
    begin, rows, wanted = stretches[0].begin, 0.0, float(first_rows)
    for stretch in stretches:
        at = stretch.begin
        while rows + (stretch.end - at) * stretch.density > wanted:
            at = min(stretch.end, at + max(1, int((wanted - rows) / stretch.density)))
            yield begin, at
            begin, rows, wanted = at, 0.0, min(wanted * _GROWTH, float(_MOST_ROWS))
        rows += (stretch.end - at) * stretch.density
    if begin < stretches[-1].end:
        yield begin, stretches[-1].end


def _cut_newest_first(stretches: Sequence[_Stretch], first_rows: int) -> Iterator[tuple[int, int]]:
    """Cut a time into windows as if it went backwards."""
    backwards = [_Stretch(-stretch.end, -stretch.begin, stretch.density) for stretch in reversed(stretches)]
    for begin, end in _cut(backwards, first_rows):
        yield -end, -begin
