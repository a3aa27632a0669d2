"""The site with the usual telemetry packages in place of its own, for comparison.

prometheus-flask-exporter and opentelemetry-instrumentation-flask, set up as in their guides, a JSON record of every
request by python-json-logger, and a list of regular expressions that is run over each request.
"""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

from flask import Response, g, request
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_flask_exporter import PrometheusMetrics
from pythonjsonlogger.json import JsonFormatter

from church import create_app

_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bunion\b.{0,40}\bselect\b",
        r"\bselect\b.{0,80}\bfrom\b",
        r"['\"]\s*(or|and)\s+['\"\d]",
        r";\s*(drop|delete|update|insert)\b",
        r"\b(sleep|benchmark|waitfor)\s*\(",
        r"<\s*script",
        r"\bon\w+\s*=",
        r"javascript\s*:",
        r"<\s*(iframe|object|embed|svg)",
        r"\.\./",
        r"%2e%2e",
        r"/etc/(passwd|shadow)",
        r"[;&|`]\s*(cat|ls|id|wget|curl|nc)\b",
        r"\$\(.{1,80}\)",
        r"\b(eval|exec|system)\s*\(",
        r"\{\{.{0,80}\}\}",
        r"\$\{.{0,80}\}",
        r"<%.{0,80}%>",
    )
]

app = create_app()

_handler = logging.FileHandler(Path(os.environ["CHURCH_LOG_DIR"]) / "usual.log")
_handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
_log = logging.getLogger("usual")
_log.addHandler(_handler)
_log.setLevel("INFO")
_log.propagate = False


@app.before_request
def _scan() -> None:
    g.started = time.perf_counter()
    texts = [request.path, request.query_string.decode("latin-1"), *(value for _, value in request.headers)]
    for text in texts:
        for pattern in _PATTERNS:
            if pattern.search(text):
                _log.warning("suspicious", extra={"path": request.path})


@app.after_request
def _record(response: Response) -> Response:
    _log.info(
        "request",
        extra={
            "method": request.method,
            "route": str(request.url_rule),
            "status": response.status_code,
            "duration_ms": (time.perf_counter() - g.started) * 1000,
            "ip": request.remote_addr,
        },
    )
    return response


PrometheusMetrics(app, path=None)
_provider = TracerProvider()
_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
FlaskInstrumentor().instrument_app(app, tracer_provider=_provider)
