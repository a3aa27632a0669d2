"""Choose by which names a site logs, where no setting says it: once, at its first start, so that they never change."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from church.lib.files import make_private
from church.lib.log_fields import SCHEMES, Scheme

FILE = "log_fields"
"""The file in the instance folder that keeps the choice."""
_LOGS = ("combined.log*", "error.log*")


def find_scheme(instance: Path, log_dir: Path) -> Scheme:
    """The scheme that was chosen; before that, the one that would be: ``otel``, but ``plain`` for a site with a past.

    It has what reads its logs by their plain names.
    """
    kept = _read(instance / FILE)
    if kept is not None:
        return kept
    has_past = (instance / "church.db").exists() or any(any(log_dir.glob(name)) for name in _LOGS)
    return "plain" if has_past else "otel"


def keep_scheme(instance: Path, log_dir: Path) -> Scheme:
    """Return the scheme, and keep it for all later starts. Of processes that start together, the first one chooses."""
    kept = _read(instance / FILE)
    if kept is not None:
        return kept
    scheme = find_scheme(instance, log_dir)
    with suppress(OSError):  # nothing else can be written there either
        _write(instance, scheme)
    return _read(instance / FILE) or scheme


def _read(path: Path) -> Scheme | None:
    try:
        text = path.read_text("ascii", "replace").strip()
    except OSError:
        return None
    return next((scheme for scheme in SCHEMES if scheme == text), None)


def _write(instance: Path, scheme: Scheme) -> None:
    make_private(instance)
    draft = instance / f".{FILE}-{os.getpid()}"
    draft.write_text(f"{scheme}\n", "ascii")
    try:
        with suppress(FileExistsError):
            os.link(draft, instance / FILE)
    finally:
        draft.unlink()
