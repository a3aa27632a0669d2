"""Folders of the site's user alone. Imports nothing of the site, so that every part of it can use this."""

from __future__ import annotations

from pathlib import Path

# What others may not do with a file that the site makes: anything.
UMASK = 0o077


def make_private(folder: Path) -> None:
    """Make ``folder`` and what is missing above it; nobody else may enter it. One that is there stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
