"""Sample the metrics of this host every 15 seconds, and remember over a restart what was counted so far."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from church.telemetry_store.metrics.catalogue import describe
from church.telemetry_store.metrics.exposition import Reader
from church.telemetry_store.metrics.increases import COUNTED, Increases, Sample
from church.telemetry_store.metrics.own import COVERED, FAMILIES, UP
from church.telemetry_store.metrics.scrape import fetch
from church.telemetry_store.site import SiteError, Target
from church.telemetry_store.tables import Row

log = logging.getLogger("church.telemetry_store")

SECONDS = 15
STATE = "last_scrape.json"


class Sampler:
    """Scrapes one site. ``take`` gets the rows of each scrape; ``folder`` holds what is remembered."""

    def __init__(self, target: Target, host: str, folder: Path, take: Callable[[list[Row]], None]) -> None:
        self._target = target
        self._host = host
        self._state = folder / STATE
        self._take = take
        self._reader = Reader()
        self._increases = Increases()
        self._failures = 0
        self._last: int | None = None
        self._load()

    def run(self, stop: threading.Event) -> None:
        """Scrape every 15 seconds until ``stop`` is set."""
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            self.scrape()
            due = max(due + SECONDS, time.monotonic())

    def scrape(self, now: int | None = None) -> None:
        """Take the samples of this moment; ``now`` in microseconds since 1970."""
        moment = now if now is not None else time.time_ns() // 1000
        before = self._last, self._increases.copy()
        samples, reason = [_own(UP, "gauge", 0.0)], None
        try:
            samples = self._read(moment)
        except SiteError as error:
            reason = str(error)
        except ValueError as error:
            reason = f"sent something else than metrics: {error}"
        self._note(reason)
        try:
            self._take([(moment, 0, self._host, SECONDS, *sample) for sample in samples])
        except OSError:  # a full disk: what was counted meanwhile comes with the next samples
            self._last, self._increases = before
            self._forget()

    def catalogue(self) -> list[dict[str, Any]]:
        """Every metric by name: its kind, source, help, and the values of its labels."""
        return describe(self._reader, FAMILIES)

    def _read(self, moment: int) -> list[Sample]:
        reader = self._reader
        numbers = reader.read(fetch(self._target))
        if not numbers:
            raise ValueError("no series")
        samples = [_own(UP, "gauge", 1.0)]
        if self._last is not None and moment > self._last:
            samples.append(_own(COVERED, "counter", (moment - self._last) / 1e6))
        samples += self._increases.take(numbers, reader.families, reader.shared)
        self._last = moment
        # Before the samples are kept: after a crash between the two they are missing, and never there twice.
        self._save()
        return samples

    def _note(self, reason: str | None) -> None:
        """Log that scrapes fail, at the second one, for the site may be starting; and that they work again."""
        if reason is None:
            if self._failures > 1:
                log.info("metrics are sampled again", extra={"event": "observe.scrape_recovered"})
            self._failures = 0
            return
        self._failures += 1
        if self._failures == 2:
            log.warning("no metrics: the site %s", reason, extra={"event": "observe.scrape_failed", "reason": reason})

    def _save(self) -> None:
        fresh = self._state.with_suffix(".part")
        try:
            fresh.write_text(json.dumps({"at": self._last, **self._increases.dump()}))
            os.replace(fresh, self._state)
        except OSError:
            self._forget()

    def _forget(self) -> None:
        """Remove the state on the disk: from an old one a restart would count again what is kept already."""
        with suppress(OSError):
            self._state.unlink()

    def _load(self) -> None:
        with suppress(OSError, ValueError, TypeError, KeyError):
            state = json.loads(self._state.read_bytes())
            self._increases.load(state)
            self._last = int(state["at"])


def _own(name: str, kind: str, value: float) -> Sample:
    return Sample(name, kind, COUNTED, "{}", value)
