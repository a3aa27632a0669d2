"""Serve /metrics: the endpoint of prometheus-flask-exporter, with our own merge of the slot files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import has_request_context, request
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
from church.observability.metrics.damage import log_damage
from church.observability.metrics.merge import Exposition
from church.observability.metrics.scrape_registry import StateMetrics

SCRAPED = "scraped"  # a file whose modification time is that of the last scrape
# Supported formats, preferred first; without a version the first of its kind is meant.
_FORMATS = {
    ("application/openmetrics-text", "1.0.0"): CONTENT_TYPE_OPENMETRICS,
    ("application/openmetrics-text", "0.0.1"): CONTENT_TYPE_OPENMETRICS.replace("1.0.0", "0.0.1"),
    ("text/plain", "0.0.4"): CONTENT_TYPE_PLAIN_0_0_4,
}


def negotiate(accept: str | None) -> str:
    """The supported content type that ``accept`` prefers; plain text if it accepts none."""
    qualities = dict.fromkeys(_FORMATS, 0.0)
    for entry, quality in parse_accept_header(accept):
        kind, options = parse_options_header(entry)
        for name, version in _FORMATS:
            if kind.lower() == name and options.get("version", version) == version:
                qualities[name, version] = max(qualities[name, version], quality)
    best = max(qualities, key=lambda offered: qualities[offered])
    return _FORMATS[best] if qualities[best] > 0 else CONTENT_TYPE_PLAIN_0_0_4


def _accepted_age() -> float:
    """The age in seconds that values of the database may have for who asks: ``max-age`` of Cache-Control."""
    return float(request.cache_control.max_age or 0) if has_request_context() else 0.0


class _ReadFamilies:
    """A collector of families that were read already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class ScrapeEndpoint(PrometheusMetrics):  # type: ignore[misc]  # the library has no types
    """The exporter with its own metrics off: it only serves the endpoint; counting and merging are ours."""

    def __init__(
        self,
        state: StateMetrics,
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
        """The body and its content type. Reads the state here and merges the files in a real thread, off the hub."""
        started = threads.clock()
        directory = self._directory()
        directory.mkdir(parents=True, exist_ok=True)
        content_type = negotiate(accept_header)
        families = self._state.collect(directory, _accepted_age())
        if self._exposition is None or self._exposition.directory != directory:
            self._exposition = Exposition(directory)
        body: str = self._off_hub(_body, self._exposition, families, "openmetrics" in content_type, names)
        log_damage(self._exposition.damage)
        definitions.telemetry_scrape_duration.observe(threads.clock() - started)
        with suppress(OSError):  # a full disk: only the doctor misses the time
            (directory / SCRAPED).touch()
        return body, content_type


def _body(exposition: Exposition, families: list[Metric], openmetrics: bool, names: list[str] | None) -> str:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_ReadFamilies(families))
    chosen: Any = registry.restricted_registry(names) if names else registry
    state = openmetrics_of(chosen) if openmetrics else text_of(chosen)
    return exposition.text(openmetrics, names) + state.decode()
