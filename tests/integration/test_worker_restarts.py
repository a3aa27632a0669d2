"""Workers that restart after a number of requests, as each does in the end, drop none of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import load
from tests.support.site_fixture import Site


def test_workers_restarting_under_load_answer_every_request(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--max-requests=200 --max-requests-jitter=50")
    one = site(WEB_CONCURRENCY="2")
    begun = set(one.worker_pids())

    def have_restarted(sent: int) -> bool:
        return sent >= 300 and sent % 50 == 0 and not begun & set(one.worker_pids())

    tally = load.run(one.port, ["/health", "/pages/privacy"], 8, have_restarted)
    assert tally.unanswered == 0
    assert sum(tally.answers.values()) >= 2400
    assert {status for _, status in tally.answers} == {200}
    ids = [record["request_id"] for record in one.records() if record["event"] == "http.request"]
    assert len(set(ids)) == len(ids) > 2000  # workers are forked from one parent, but their random numbers differ
