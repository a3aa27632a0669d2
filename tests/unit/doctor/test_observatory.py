"""The check of the telemetry store."""

from __future__ import annotations

import fcntl

from church.config import Settings
from church.doctor.observatory import check_observatory


def test_observatory_that_does_not_run_is_a_warning_in_production(site: Settings) -> None:
    state, finding, fix = check_observatory(site.model_copy(update={"environment": "production"}))
    assert state == "warn"
    assert "does not run" in finding
    assert "church-observe" in fix
    assert check_observatory(site)[0] == "ok"


def test_observatory_that_holds_its_lock_runs(site: Settings) -> None:
    path = site.instance / "observatory" / "observe.lock"
    path.parent.mkdir(parents=True)
    real = site.model_copy(update={"environment": "production"})
    with path.open("w") as lock:
        assert check_observatory(real)[0] == "warn"
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert check_observatory(real) == ("ok", "runs", "")


def test_observatory_that_is_turned_off_is_well(site: Settings) -> None:
    off = site.model_copy(update={"environment": "production", "observatory": False})
    assert check_observatory(off) == ("ok", "turned off by CHURCH_OBSERVATORY", "")
