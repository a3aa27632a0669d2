"""Processes of this machine, from /proc."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def list_children(parent: int) -> list[int]:
    """List the process ids of the running children of ``parent``, without those that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            state, its_parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(its_parent) == parent and state != "Z":
                found.append(int(path.parent.name))
    return sorted(found)
