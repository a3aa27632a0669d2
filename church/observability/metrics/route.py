"""/metrics: prometheus-flask-exporter's endpoint, over our own merge of the slot files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.exposition import generate_latest as text_of
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.http import parse_accept_header, parse_options_header

from church.lib import threads
from church.observability.metrics import definitions
from church.observability.metrics.merge import Exposition
from church.observability.metrics.scrape_registry import State

log = logging.getLogger("church.telemetry")
SCRAPED = "scraped"  # the file whose time is that of the last scrape
# What we speak, in the order in which it wins a tie; a version that is not named is the first of its kind.
_SPOKEN = {
    ("application/openmetrics-text", "1.0.0"): CONTENT_TYPE_OPENMETRICS,
    ("application/openmetrics-text", "0.0.1"): CONTENT_TYPE_OPENMETRICS.replace("1.0.0", "0.0.1"),
    ("text/plain", "0.0.4"): CONTENT_TYPE_PLAIN_0_0_4,
}


def negotiate(accept: str | None) -> str:
    """The content type, among those that we speak, that is most welcome; plain text if none is named."""
    welcome = dict.fromkeys(_SPOKEN, 0.0)
    for entry, quality in parse_accept_header(accept):
        kind, options = parse_options_header(entry)
        for spoken in _SPOKEN:
            if kind.lower() == spoken[0] and options.get("version", spoken[1]) == spoken[1]:
                welcome[spoken] = max(welcome[spoken], quality)
    best = max(welcome, key=lambda spoken: welcome[spoken])
    return _SPOKEN[best] if welcome[best] > 0 else CONTENT_TYPE_PLAIN_0_0_4


class _Read:
    """Families that were read already, as a collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class ScrapeEndpoint(PrometheusMetrics):  # type: ignore[misc]  # the library has no types
    """The exporter with its per-request defaults off: the hot path is ours, and so is the merge."""

    def __init__(
        self,
        state: State,
        directory: Callable[[], Path],
        guard: Callable[[Any], Any],
        off_hub: Callable[..., Any],
    ) -> None:
        super().__init__(
            app=None, path="/metrics", export_defaults=False, metrics_decorator=guard, registry=definitions.CATALOGUE
        )
        self._state = state
        self._directory = directory
        self._off_hub = off_hub
        self._exposition: Exposition | None = None

    def generate_metrics(self, accept_header: str | None = None, names: list[str] | None = None) -> tuple[str, str]:
        """The body and its content type. State is read here; files are merged in a real thread, off the hub."""
        started = threads.clock()
        directory = self._directory()
        directory.mkdir(parents=True, exist_ok=True)
        content_type = negotiate(accept_header)
        families = self._state.collect(directory)
        if self._exposition is None or self._exposition.directory != directory:
            self._exposition = Exposition(directory)
        body: str = self._off_hub(_body, self._exposition, families, "openmetrics" in content_type, names)
        while self._exposition.damage:
            found = self._exposition.damage.pop()
            log.warning("metric file damaged", extra={"event": "telemetry.file_damaged", "reason": found})
        definitions.telemetry_scrape_duration.observe(threads.clock() - started)
        with suppress(OSError):  # a full disk: the doctor will not know, and the scraper has its answer
            (directory / SCRAPED).touch()
        return body, content_type


def _body(exposition: Exposition, families: list[Metric], openmetrics: bool, names: list[str] | None) -> str:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_Read(families))
    chosen: Any = registry.restricted_registry(names) if names else registry
    state = openmetrics_of(chosen) if openmetrics else text_of(chosen)
    return exposition.text(openmetrics, names) + state.decode()
