"""The samples that the store adds of its own scrapes: without them a counter that did not rise is like no scrape."""

from __future__ import annotations

from church.telemetry_store.metrics.exposition import Family

UP = "scrape_up"
COVERED = "scrape_covered_seconds_total"
"""It rises by the time that the increases of a scrape took: since the last one that worked."""
FAMILIES = {
    UP: Family("gauge", "1 if the site gave its metrics to the telemetry store, else 0."),
    COVERED: Family("counter", "Time for which the telemetry store knows how far the counters rose."),
}
