"""The tracer of this process, if an exporter is configured. OpenTelemetry is imported only then."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

    from church.observability.traces.tracing import Tracing

active: Tracing | None = None
SAMPLED = "church.trace_id"
"""The key in the environ for the trace id of a request for which the server has decided already."""


def is_wanted() -> bool:
    """Whether an OTEL_* variable is set, by which OpenTelemetry may make an exporter."""
    return any(name.startswith("OTEL_") for name in os.environ)


def start(
    app: Flask, resource: dict[str, str], always: tuple[str, ...], on_span: Callable[[Any, Any], None]
) -> Callable[..., Any] | None:
    """Start tracing as the OTEL_* variables ask, and return the traced WSGI app; None if tracing is off.

    Paths that begin with one of ``always`` are traced whatever the sampler says. ``on_span`` gets each server span.
    """
    global active  # noqa: PLW0603 - one exporter a process
    if not is_wanted():
        return None
    from church.observability.traces import tracing  # noqa: PLC0415 - OpenTelemetry costs a site without it nothing

    exporter = tracing.build_exporter()
    if exporter is None:
        return None
    active = tracing.Tracing(exporter, resource, always)
    return active.wrap(app, on_span)


def sample(path: str, traceparent: str | None) -> int | None:
    """Decide about a request that has no environ yet: its trace id if it is sampled. Pass it on as ``SAMPLED``."""
    return active.decide(path, traceparent) if active is not None else None


def stop() -> None:
    """Send the queued spans; bounded in time."""
    if active is not None:
        active.stop()


def linked_span(
    name: str, opened_by: tuple[str, str] | None, attributes: dict[str, str]
) -> AbstractContextManager[tuple[str, str] | None]:
    """Begin a new trace with a link to the span ``opened_by`` (trace, span); yields its own ids if it is sampled."""
    return active.linked(name, opened_by, attributes) if active is not None else nullcontext()


def job_span(
    name: str, carrier: dict[str, str] | None, attributes: dict[str, Any]
) -> AbstractContextManager[tuple[str, str] | None]:
    """Begin the span of a job, in the trace that ``carrier`` continues; yields its own ids if it is sampled."""
    return active.identified(name, carrier, attributes) if active is not None else nullcontext()
