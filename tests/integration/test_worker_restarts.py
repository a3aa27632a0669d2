"""Workers that restart after a number of requests, as each does in the end, drop none of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import load
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site


def test_workers_restarting_under_load_answer_every_request(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--max-requests=200 --max-requests-jitter=50")
    one = site(WEB_CONCURRENCY="2")
    begun = set(one.worker_pids())
    tally = load.run(one.port, ["/health", "/pages/privacy"], 8, lambda sent: sent >= 300)
    assert tally.unanswered == 0
    assert sum(tally.answers.values()) == 2400
    assert {status for _, status in tally.answers} == {200}
    wait_until(lambda: not begun & set(one.worker_pids()), "each has restarted")
    ids = [record["request_id"] for record in one.records() if record["event"] == "http.request"]
    assert len(set(ids)) == len(ids) > 2000  # workers are forked from one parent, but their random numbers differ
