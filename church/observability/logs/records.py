"""Log records: one JSON object a line, with the same fields from the site and from gunicorn.

``RecordFormatter`` (python-json-logger) writes every record except the access record, which
``request_observer.Observation`` joins directly once a request; a test checks that both have the same fields in order.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from church.lib.log_fields import Scheme, to_otel
from church.observability import fingerprints
from church.observability.logs import terminal
from church.observability.logs.outputs import ConsoleSink, Dropped, FileSink, Sink
from church.observability.logs.redaction import MAX_VALUE, redact, redact_text

HANDLER = "church"
Context = Callable[[], dict[str, Any]]
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "event", "color_message"}
# These loggers write warnings only: stripe's SDK and the HTTP libraries log addresses, headers and bodies, which hold
# what members typed.
_VERBOSE_LIBRARIES = ("alembic", "werkzeug", "stripe", "urllib3", "requests", "http.client")


def timestamp(seconds: float) -> str:
    """UTC to the millisecond, RFC 3339."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class RecordFormatter(JsonFormatter):
    """Formats a LogRecord as the site's JSON line: standard fields, the context of the request, then extra fields."""

    def __init__(
        self, static: dict[str, str], context: Context, error_context: Context = dict, scheme: Scheme = "plain"
    ) -> None:
        super().__init__(json_ensure_ascii=True)
        self._to_name = to_otel if scheme == "otel" else str
        self._static = static
        self._context = context
        self._error_context = error_context

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Redact every value and rename its field; the library calls this last."""
        return {
            self._to_name(name): value if name in self._static else redact(name, value)
            for name, value in log_data.items()
            if value is not None
        }

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the fields of a log record, in the order of TELEMETRY.md."""
        log_data.update(
            timestamp=timestamp(record.created),
            level=record.levelname,
            logger=record.name,
            message=record.getMessage(),
            event=getattr(record, "event", None) or record.name,
            **self._static,
        )
        added = {k: v for k, v in vars(record).items() if k not in _STANDARD and not k.startswith("_")}
        trace, stack = message_dict.pop("exc_info", None), message_dict.pop("stack_info", None)
        log_data.update(self._context())
        if trace or record.levelno >= logging.ERROR:
            log_data.update(self._error_context())
        log_data.update({**added, **message_dict})
        if trace:
            log_data.update(_identify(record), exception=_last_lines(str(trace)))
        if stack:
            log_data["stack"] = _last_lines(str(stack))


def _identify(record: logging.LogRecord) -> dict[str, str]:
    """The class and the fingerprint of the error that a record is about."""
    error, trace = (record.exc_info or (None, None, None))[1:]
    if error is None:
        return {}
    problem = fingerprints.identify(error, trace)
    return {"error_type": problem.error_type, "fingerprint": problem.fingerprint}


def _last_lines(trace: str) -> str:
    """The end of a long traceback, which has the error; whole lines, so that no secret is cut in two."""
    return trace if len(trace) <= MAX_VALUE else trace[-MAX_VALUE:].partition("\n")[2] or trace


class Handler(logging.Handler):
    """Passes each record's line to the sinks; a record that cannot be formatted is dropped and counted."""

    def __init__(self, formatter: RecordFormatter, everything: list[Sink], errors: Sink, dropped: Dropped) -> None:
        super().__init__()
        self.name = HANDLER
        self._dropped = dropped
        self.setFormatter(formatter)
        self._everything = everything
        self._errors = errors
        self.on_exception: Callable[[logging.LogRecord], None] | None = None
        """Called with each record that has a traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format and write a record; never raises, whatever its values are."""
        try:
            line = self.format(record).encode() + b"\n"
            if record.exc_info and self.on_exception is not None:
                self.on_exception(record)
        except Exception:  # noqa: BLE001 - a value's own __str__ may raise anything
            self._dropped(1)
            return
        self.put(line, error=record.levelno >= logging.ERROR)

    def put(self, line: bytes, error: bool = False) -> None:
        """Pass a formatted line to the sinks."""
        for sink in self._everything:
            sink.put(line)
        if error:
            self._errors.put(line)

    def start(self) -> None:
        """Write from threads of this process."""
        for sink in (*self._everything, self._errors):
            sink.start()

    def stop(self) -> None:
        """Write the queued lines and stop the threads, at the end of the process."""
        for sink in (*self._everything, self._errors):
            sink.stop()

    def flush(self) -> None:
        """Write the queued lines now."""
        for sink in (*self._everything, self._errors):
            sink.flush()


def build(log_dir: Path, formatter: RecordFormatter, dropped: Dropped) -> Handler:
    """The handler of a process: combined.log and error.log in ``log_dir``, and the console."""
    everything = [FileSink(log_dir / "combined.log", dropped), ConsoleSink(terminal.line_formatter(), dropped)]
    errors = FileSink(log_dir / "error.log", dropped)
    return Handler(formatter, everything, errors, dropped)


def install(handler: Handler, level: str) -> None:
    """Send the records of every logger to ``handler``; warnings included."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        if old.name == HANDLER:  # by name: a reloaded worker inherits the handler of its master, of another import
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in ("gunicorn.error", "gunicorn.access", "werkzeug", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("church").critical(
        "uncaught exception", exc_info=(kind, error, trace), extra={"event": "process.uncaught"}
    )


def quote(text: str) -> str:
    """``text`` as a redacted JSON string."""
    return json.dumps(redact_text(text))
