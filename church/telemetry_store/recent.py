"""The newest rows of a table, in memory: all that no segment holds yet, and a few that one does, for tails.

A row is kept as bytes, which takes a third of the memory of its values. Its owner locks.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator

from church.telemetry_store.tables import SEQ, TS, Row

KEPT_ROWS = 1000
KEPT_BYTES = 1024 * 1024
"""Rows, and their bytes, that stay at most after a segment holds them."""
_OVERHEAD = 41  # bytes of an object and of its place in a list

Cursor = tuple[int, int]
"""Time and number of a row."""


class Recent:
    """Rows in the order in which they came."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._sealed = 0
        self.bytes = 0
        """What the rows that no segment holds take."""
        self.horizon = -1
        """The latest time of a row that is no longer here: all rows after it are."""

    @property
    def unsealed(self) -> int:
        """How many rows no segment holds."""
        return len(self._rows) - self._sealed

    def add(self, row: Row) -> None:
        """Add a row."""
        packed = marshal.dumps(row)
        self._rows.append(packed)
        self.bytes += len(packed) + _OVERHEAD

    def copy_unsealed(self) -> PackedRows:
        """The rows that no segment holds, as they are now."""
        return PackedRows(self._rows[self._sealed :])

    def copy_all(self) -> PackedRows:
        """All rows, those that a segment holds too, as they are now."""
        return PackedRows(self._rows[:], self.horizon)

    def seal(self, count: int) -> None:
        """Note that segments hold the ``count`` oldest of the rows that none held, and drop most of them."""
        end = self._sealed + count
        self.bytes -= _size(self._rows[self._sealed : end])
        first = max(0, end - KEPT_ROWS)
        while _size(self._rows[first:end]) > KEPT_BYTES:
            first += (end - first + 1) // 2
        for packed in self._rows[:first]:
            self.horizon = max(self.horizon, marshal.loads(packed)[TS])  # noqa: S302 - what `add` made
        del self._rows[:first]
        self._sealed = end - first


def _size(packed: list[bytes]) -> int:
    return sum(map(len, packed)) + _OVERHEAD * len(packed)


class PackedRows:
    """Rows that are unpacked one by one as they are read; they never change.

    ``horizon``: rows after this time are all here, if these are the newest of a table.
    """

    def __init__(self, packed: list[bytes], horizon: int = -1) -> None:
        self._packed = packed
        self.horizon = horizon

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[Row]:
        return map(marshal.loads, self._packed)

    def __reversed__(self) -> Iterator[Row]:
        return map(marshal.loads, reversed(self._packed))

    def after(self, cursor: Cursor, wanted: Callable[[Row], bool] = lambda _row: True) -> list[Row]:
        """The rows that came after the row ``cursor``, oldest first.

        They are looked for among those that came later, whatever their time.
        """
        found = []
        for row in reversed(self):
            if row[SEQ] <= cursor[1]:
                break
            if wanted(row):
                found.append(row)
        return found[::-1]

    def begin(self) -> Cursor | None:
        """The oldest row, None without any."""
        row = next(iter(self), None)
        return None if row is None else (row[TS], row[SEQ])
