"""Tables of Python-Markdown, in time and memory proportional to their text."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from markdown.blockparser import BlockParser
from markdown.extensions.tables import TableProcessor

_MOST_CELLS = 100_000
"""Cells of a page up to which short rows are filled up. A wide head over many short rows would fill the memory."""


class Tables(TableProcessor):
    """Builds the tables of one page."""

    def __init__(self, parser: BlockParser) -> None:
        super().__init__(parser, {"use_align_attribute": True})
        self._left = _MOST_CELLS

    def forget(self) -> None:
        """Begin a new page."""
        self._left = _MOST_CELLS

    def _build_row(self, row: str, parent: ET.Element, align: Sequence[str | None]) -> None:
        self._left -= len(align)
        shown = align if self._left >= 0 else align[: row.count("|") + 1]
        super()._build_row(row, parent, shown)  # type: ignore[misc]  # the stubs leave it out

    def _split(self, row: str) -> list[str]:
        """Split a row at its pipes. Those in code, between two runs of equally many backticks, do not count."""
        pipes: list[int] = []
        runs: list[tuple[int, int, int, int]] = []  # start, end, backticks, and how many of these cannot begin code
        for found in self.RE_CODE_PIPES.finditer(row):
            if found[2]:
                runs.append((found.start(), found.end(), len(found[2]) - 1, 1))
            elif found[3]:
                runs.append((found.start(), found.end(), len(found[3]), 0))
            elif found[5]:
                pipes.append(found.start())
        codes = _pair_runs(runs)
        cells, begin, at = [], 0, 0
        for pipe in pipes:
            while at < len(codes) and codes[at][1] <= pipe:
                at += 1
            if at == len(codes) or pipe < codes[at][0]:
                cells.append(row[begin:pipe])
                begin = pipe + 1
        return [*cells, row[begin:]]


def _pair_runs(runs: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    """Return where code begins and ends: from a run to the next one of its size."""
    places: dict[int, list[int]] = defaultdict(list)
    for number, (_, _, size, _) in enumerate(runs):
        places[size].append(number)
    codes, at = [], 0
    while at < len(runs):
        start, _, size, escaped = runs[at]
        same = places.get(size - escaped, [])
        closing = bisect_right(same, at)
        if size > escaped and closing < len(same):
            at = same[closing]
            codes.append((start, runs[at][1]))
        at += 1
    return codes
