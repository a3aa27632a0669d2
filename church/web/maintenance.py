"""The maintenance flag: a file in the instance folder, which every process of a host sees and no restart loses."""

from __future__ import annotations

import json
import time
from pathlib import Path

from church.config import Settings
from church.lib.files import make_private
from church.models.base import utc_now

# Seconds that a process believes what it last saw.
_FRESH = 1.0
_USUAL_RETRY = 300
_SHORTEST_RETRY = 60

_seen: dict[Path, tuple[float, bool]] = {}


def turn_on(settings: Settings, minutes: int | None = None) -> None:
    """Answer visitors with 503. ``minutes`` is what they are told; the flag stays until ``turn_off``."""
    path = _path(settings)
    make_private(path.parent)
    until = utc_now().timestamp() + minutes * 60 if minutes is not None else None
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"until": until}))
    draft.replace(path)
    _seen.pop(path, None)


def turn_off(settings: Settings) -> None:
    """Let visitors in again; other processes notice within a second."""
    path = _path(settings)
    path.unlink(missing_ok=True)
    _seen.pop(path, None)


def is_on(settings: Settings) -> bool:
    """Whether visitors get the maintenance page; asks the file system once a second at most."""
    path = _path(settings)
    now = time.monotonic()
    checked, on = _seen.get(path, (-_FRESH, False))
    if now - checked >= _FRESH or path not in _seen:
        on = path.exists()
        _seen[path] = (now, on)
    return on


def retry_after(settings: Settings) -> int:
    """Seconds for the Retry-After header: what is left of the minutes that were told, at least one minute."""
    try:
        until = json.loads(_path(settings).read_text())["until"]
        left = float(until) - utc_now().timestamp()
    except (OSError, ValueError, TypeError, KeyError):
        return _USUAL_RETRY
    return max(_SHORTEST_RETRY, round(left))


def _path(settings: Settings) -> Path:
    return settings.instance / "maintenance"
