"""Ids of requests: unique, and in the order of time."""

from __future__ import annotations

import re
import time

import pytest

from church.observability import request_ids
from church.observability.request_ids import make_request_id


def test_id_begins_with_its_milliseconds() -> None:
    before, made, after = time.time_ns() // 1_000_000, make_request_id(), time.time_ns() // 1_000_000
    assert re.fullmatch(r"[0-9a-f]{24}", made)
    assert before <= int(made[:12], 16) <= after


def test_ids_of_the_same_moment_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_ids.time, "time_ns", lambda: 1_790_000_000_123_456_789)
    made = {make_request_id() for _ in range(1_000)}
    assert len(made) == 1_000
    assert {one[:12] for one in made} == {f"{1_790_000_000_123:012x}"}
