"""What accounts of CPU time say is counted, once."""

from __future__ import annotations

import pytest

from church.lib import cpu_accounts
from church.observability import cpu_time
from church.observability.metrics import definitions
from tests.support.helpers import value


def counted() -> dict[str, float]:
    return {work: value(definitions.cpu_by_work.labels(work)) for work in cpu_accounts.KINDS}


def test_totals_are_counted_by_what_they_grew(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = dict.fromkeys(cpu_accounts.KINDS, 0.0)
    monkeypatch.setattr(cpu_accounts, "read_totals", lambda: dict(totals))
    monkeypatch.setattr(cpu_time, "_counted", {})
    before = counted()
    for request in (2.0, 2.0, 5.0):
        totals["request"] = request
        cpu_time.count()
    grown = {work: more for work, seconds in counted().items() if (more := seconds - before[work])}
    assert grown == {"request": 5.0}
