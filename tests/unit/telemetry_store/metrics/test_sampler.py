"""Samples of a site are taken, and go on where they stopped after a restart."""

from __future__ import annotations

import errno
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from church.telemetry_store.metrics.sampler import STATE, Sampler
from church.telemetry_store.site import Target
from church.telemetry_store.tables import TABLES
from tests.support.exposing import Exposing, exposing

TEXT = """\
# HELP hits_total Hits.
# TYPE hits_total counter
hits_total{{route="/"}} {}
# HELP fill Fill.
# TYPE fill gauge
fill 2
"""


class Kept:
    """Keeps the rows of a sampler as dicts."""

    def __init__(self, site: Exposing, folder: Path) -> None:
        self.rows: list[dict[str, Any]] = []
        self.full = False
        self.sampler = Sampler(Target(site.bind), "host-1", folder, self._take)

    def _take(self, rows: list[tuple[Any, ...]]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "no space")
        self.rows += [dict(zip(TABLES["samples"].names, row, strict=True)) for row in rows]

    def value(self, name: str) -> float | None:
        """The newest value of a metric."""
        return next((row["value"] for row in reversed(self.rows) if row["name"] == name), None)


def test_scrape_gives_rows_of_the_table_samples(tmp_path: Path) -> None:
    with exposing(TEXT.format(5)) as site:
        kept = Kept(site, tmp_path)
        kept.sampler.scrape(1_000_000)
        site.text = TEXT.format(7)
        kept.sampler.scrape(16_000_000)
    fixed = {
        "host": "host-1",
        "resolution": 15,
        "source": "P",
        "seq": 0,
        "total": None,
        "buckets": None,
        "bounds": None,
    }
    gauge = fixed | {"kind": "gauge", "labels": "{}"}
    up = gauge | {"name": "scrape_up", "value": 1.0}
    fill = gauge | {"name": "fill", "value": 2.0}
    hits = fixed | {"name": "hits_total", "kind": "counter", "labels": '{"route":"/"}', "value": 2.0}
    first, second = {"ts": 1_000_000}, {"ts": 16_000_000}
    covered = fixed | {"name": "scrape_covered_seconds_total", "kind": "counter", "labels": "{}", "value": 15.0}
    assert kept.rows == [up | first, fill | first, up | second, covered | second, hits | second, fill | second]


def test_samples_that_cannot_be_kept_come_with_the_next_ones(tmp_path: Path) -> None:
    with exposing(TEXT.format(5)) as site:
        kept = Kept(site, tmp_path)
        kept.sampler.scrape(15_000_000)
        kept.full = True
        site.text = TEXT.format(7)
        kept.sampler.scrape(30_000_000)
        assert not (tmp_path / STATE).exists()
        kept.full = False
        site.text = TEXT.format(8)
        kept.sampler.scrape(45_000_000)
    assert (kept.value("hits_total"), kept.value("scrape_covered_seconds_total")) == (3, 30)


def test_new_sampler_goes_on_from_the_last_scrape(tmp_path: Path) -> None:
    with exposing(TEXT.format(5)) as site:
        Kept(site, tmp_path).sampler.scrape(15_000_000)
        site.text = TEXT.format(25)
        kept = Kept(site, tmp_path)
        kept.sampler.scrape(90_000_000)
        assert (kept.value("hits_total"), kept.value("scrape_covered_seconds_total")) == (20, 75)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"metrics": [], "series": [["x"]]}'])
def test_damaged_state_starts_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / STATE).write_text(damage)
    with exposing(TEXT.format(5)) as site:
        kept = Kept(site, tmp_path)
        kept.sampler.scrape()
        assert (kept.value("hits_total"), kept.value("scrape_up")) == (None, 1)
    assert json.loads((tmp_path / STATE).read_text())["metrics"] == ["fill", "hits_total"]


def test_state_that_cannot_be_written_is_removed(tmp_path: Path) -> None:
    with exposing(TEXT.format(5)) as site:
        kept = Kept(site, tmp_path)
        kept.sampler.scrape()
        (tmp_path / "last_scrape.part").mkdir()
        kept.sampler.scrape()
    assert not (tmp_path / STATE).exists()


def test_site_that_is_down_gives_samples_of_that_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "church.telemetry_store")
    with exposing(TEXT.format(5)) as site:
        kept = Kept(site, tmp_path)
        kept.sampler.scrape()
        site.status = 503
        kept.rows.clear()
        for _ in range(3):
            kept.sampler.scrape()
        assert [(row["name"], row["value"]) for row in kept.rows] == [("scrape_up", 0)] * 3
        site.status, site.text = 200, "<p>Closed for now </p>"
        kept.sampler.scrape()
        assert kept.value("scrape_up") == 0
        site.text = TEXT.format(9)
        kept.sampler.scrape()
        assert kept.value("hits_total") == 4
    assert [vars(record)["event"] for record in caplog.records] == ["observe.scrape_failed", "observe.scrape_recovered"]


def test_run_scrapes_at_once_and_ends_when_told(tmp_path: Path) -> None:
    with exposing(TEXT.format(5)) as site:
        stop, taken = threading.Event(), threading.Event()
        sampler = Sampler(Target(site.bind), "host-1", tmp_path, lambda _rows: taken.set())
        thread = threading.Thread(target=sampler.run, args=(stop,), daemon=True)
        thread.start()
        assert taken.wait(30)
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_catalogue_names_every_metric_with_its_labels(tmp_path: Path) -> None:
    shared = '# TYPE telemetry_shared_metric gauge\ntelemetry_shared_metric{metric="fill"} 1\n'
    with exposing(TEXT.format(5) + 'hits_total{route="/b"} 1\n' + shared) as site:
        kept = Kept(site, tmp_path)
        kept.sampler.scrape()
    fill, hits, covered, up = kept.sampler.catalogue()
    assert fill == {"name": "fill", "kind": "gauge", "source": "D", "help": "Fill.", "labels": {}}
    assert (hits["name"], hits["kind"], hits["source"]) == ("hits_total", "counter", "P")
    assert hits["labels"] == {"route": ["/", "/b"]}
    assert (covered["name"], up["name"]) == ("scrape_covered_seconds_total", "scrape_up")
