"""The version of the running code: its release and its commit."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent


def _release() -> str:
    try:
        return version("church")
    except PackageNotFoundError:
        return "0"


def _commit() -> str:
    """CHURCH_COMMIT, which an image is built with; else the commit of the checkout, read without running git."""
    if given := os.environ.get("CHURCH_COMMIT"):
        return given[:40]
    git = _ROOT / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        if (git / name).exists():
            return (git / name).read_text().strip()[:12]
        packed = (git / "packed-refs").read_text().splitlines()
        return next(line.split()[0][:12] for line in packed if line.endswith(name))
    except (OSError, StopIteration):
        return "unknown"


VERSION = _release()
COMMIT = _commit()
