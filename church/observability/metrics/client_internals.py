"""Everything that leans on private parts of prometheus_client, in one place.

Its public interface has neither files that outlive a process nor a merge of them. So the site writes its files with
the client's own ``MmapedDict``, takes the place of its value class, and reads what its collectors declare. A test
checks each of these parts against the installed release: tests/unit/observability/metrics/test_client_internals.py.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.mmap_dict import MmapedDict, mmap_key

_HEADER = struct.Struct("i")
_FIRST_SIZE = 1 << 16
_ENTRY = 40  # bytes of an entry beside its key, at most


# -- what collectors declare ----------------------------------------------------------------------------------------


class DeclaredFamily(NamedTuple):
    """A metric as its collector declares it."""

    kind: str
    help: str
    labels: frozenset[str]


def declared_families(registry: CollectorRegistry) -> dict[str, DeclaredFamily]:
    """The families of a registry's collectors, by name."""
    families = {}
    for collector in registry._collector_to_names:
        family = collector.describe()[0] if hasattr(collector, "describe") else None
        if family is not None:
            labels = frozenset(collector._labelnames)  # type: ignore[attr-defined]
            families[family.name] = DeclaredFamily(family.type, family.documentation, labels)
    return families


def bucket_bounds(histogram: Histogram) -> tuple[float, ...]:
    """Upper bounds of the buckets, the last of them infinite."""
    return tuple(histogram._upper_bounds)


def list_children(registry: CollectorRegistry) -> dict[Any, dict[Any, Any]]:
    """The series of each collector that has labels, by their values."""
    return {each: dict(each._metrics) for each in registry._collector_to_names if hasattr(each, "_metrics")}


def restore_children(children: dict[Any, dict[Any, Any]]) -> None:
    """Leave each collector only the series that ``list_children`` found."""
    for collector, series in children.items():
        collector._metrics = series


def number_of(child: Counter | Gauge) -> Any:
    """The value object of a counter or gauge, or of one of its label sets."""
    return child._value


def numbers_of(child: Histogram) -> tuple[Any, tuple[Any, ...]]:
    """The value objects of a histogram, or of one of its label sets: the sum, and each bucket by itself."""
    return child._sum, tuple(child._buckets)


def install_value_class(value_class: type[Any]) -> None:
    """Make collectors that are declared from now on keep their numbers in ``value_class``."""
    values.ValueClass = value_class


# -- the files ------------------------------------------------------------------------------------------------------


class DamagedFileError(Exception):
    """A slot file does not hold what its header says; the message is the reason."""


def value_key(metric: str, sample: str, labelnames: Sequence[str], labelvalues: Sequence[str], help_text: str) -> str:
    """The key of one series in a file."""
    return mmap_key(metric, sample, list(labelnames), list(labelvalues), help_text)


def used_bytes(data: bytes | memoryview) -> int:
    """How much of a file is in use, by its header; 0 for one that was created and not yet written."""
    return int(_HEADER.unpack_from(data, 0)[0]) if len(data) >= 8 else 0


def read_entries(data: bytes | memoryview) -> Iterator[tuple[bytes, int]]:
    """Yield the (key, offset of its value) pairs of a file.

    Raises DamagedFileError where the file is shorter than it claims or its lengths make no sense.
    """
    size = len(data)
    if size == 0:
        return
    used = _HEADER.unpack_from(data, 0)[0] if size >= 8 else -1
    if used == 0:
        return
    if not 8 <= used <= size:
        raise DamagedFileError(f"claims {used} bytes of {size}")
    position = 8
    while position < used:
        if position + 24 > used:
            raise DamagedFileError(f"entry at {position} runs over the end")
        length = _HEADER.unpack_from(data, position)[0]
        value_at = position + 4 + length + (8 - (length + 4) % 8)
        if length <= 0 or value_at + 16 > used:
            raise DamagedFileError(f"entry at {position} runs over the end")
        yield bytes(data[position + 4 : position + 4 + length]), value_at
        position = value_at + 16


def parse_key(key: bytes) -> tuple[str, str, dict[str, str]]:
    """Metric, sample and labels of a key. Raises DamagedFileError for one that prometheus_client did not write."""
    try:
        name, sample, labels, _help = json.loads(key.decode())  # as bytes it might be read as UTF-16
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"unreadable key: {type(error).__name__}") from None
    strings = [name, sample, *labels.values()] if isinstance(labels, dict) else [None]
    if not all(isinstance(part, str) for part in strings):
        raise DamagedFileError("a key of another shape")
    return name, sample, labels


class SlotFile(MmapedDict):
    """A prometheus_client file that reserves its disk space when it grows, not when a page is first written.

    A page that a full disk cannot give is a bus error, which ends the process; here it is an OSError instead.
    """

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            reserve(fd, max(os.fstat(fd).st_size, _FIRST_SIZE))
        finally:
            os.close(fd)
        super().__init__(str(path))  # type: ignore[no-untyped-call]

    def read(self, key: str) -> float:
        """The value of ``key``, 0 if it is new. Raises OSError if there is no space for a new one."""
        value: float = self.read_value(key)[0]  # type: ignore[no-untyped-call]
        return value

    if TYPE_CHECKING:

        def write_value(self, key: str, value: float, timestamp: float) -> None:
            """Set the value of ``key``: prometheus_client's own method, called once for each count."""

    def _init_value(self, key: str) -> None:
        needed, size = self._used + len(key.encode()) + _ENTRY, self._capacity
        while size < needed:
            size *= 2
        if size > self._capacity:
            reserve(self._f.fileno(), size)
        super()._init_value(key)  # type: ignore[no-untyped-call]


def reserve(fd: int, size: int) -> None:
    """Take ``size`` bytes of disk space for the file, or raise OSError now and not at a page's first write."""
    if hasattr(os, "posix_fallocate"):  # macOS has none
        os.posix_fallocate(fd, 0, size)
