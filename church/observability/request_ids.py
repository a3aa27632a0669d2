"""Ids of requests: those made here begin with their time, so that a store of records finds one by where it looks."""

from __future__ import annotations

import random
import time


def make_request_id() -> str:
    """24 hexadecimal digits: the milliseconds since 1970, then 48 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{random.getrandbits(48):012x}"
