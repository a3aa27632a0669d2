"""Let one of several processes of a host say something: the first that claims it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Collection
from pathlib import Path


def claim(file: Path, keys: Collection[str], since: float) -> set[str]:
    """Return which of ``keys`` no process has claimed since ``since``, and claim them in ``file``.

    Other keys are forgotten, so that the file stays small. If the file cannot be used, all keys are returned: saying
    something twice is better than never.
    """
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+", encoding="utf-8") as marks:
            fcntl.flock(handle, fcntl.LOCK_EX)
            claimed = _read(marks.read())
            fresh = {key for key in keys if claimed.get(key, 0.0) < since}
            kept = {key: time.time() if key in fresh else claimed[key] for key in keys}
            marks.seek(0)
            marks.truncate()
            json.dump(kept, marks)
    except OSError:
        return set(keys)
    return fresh


def _read(text: str) -> dict[str, float]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(key): at for key, at in found.items() if isinstance(at, float)} if isinstance(found, dict) else {}
