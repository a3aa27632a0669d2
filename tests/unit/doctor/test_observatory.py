"""The check of the telemetry store."""

from __future__ import annotations

from typing import Any

import pytest

from church.config import Settings
from church.doctor import observatory
from church.doctor.observatory import check_observatory
from church.services.telemetry_queries import Answer

WELL = {"disk_full": False, "lag_seconds": 0.0, "damaged_segments": 0, "tables": {"logs": {"bytes": 3 << 20}}}


@pytest.mark.parametrize(
    ("status", "state", "finding"),
    [
        ({}, "ok", "runs, keeps 3 MB"),
        ({"damaged_segments": 2}, "ok", "runs, keeps 3 MB, has set 2 damaged segments aside"),
        ({"disk_full": True, "lag_seconds": 500}, "warn", "it writes nothing: the disk is full"),
        ({"lag_seconds": 5000.0}, "warn", "it is 5,000 s behind the logs"),
    ],
)
def test_observatory_that_answers_is_judged_by_its_status(
    site: Settings, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], state: str, finding: str
) -> None:
    monkeypatch.setattr(observatory, "ask", lambda _settings, _query: Answer([{**WELL, **status}]))
    found = check_observatory(site)
    assert found[:2] == (state, finding)
    assert bool(found[2]) == (state != "ok")


def test_observatory_that_does_not_run_is_a_warning_in_production(site: Settings) -> None:
    state, finding, fix = check_observatory(site.model_copy(update={"environment": "production"}))
    assert state == "warn"
    assert "does not answer" in finding
    assert "church-observe" in fix
    assert check_observatory(site)[0] == "ok"


def test_observatory_that_is_turned_off_is_well(site: Settings) -> None:
    off = site.model_copy(update={"environment": "production", "observatory": False})
    assert check_observatory(off) == ("ok", "turned off by CHURCH_OBSERVATORY", "")
