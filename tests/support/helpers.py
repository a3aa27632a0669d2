"""What several test modules need: routes of their own, values of counters, records of the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask

from church import telemetry
from church.config import Settings
from church.observability import request_observer
from church.observability.logs import records as logs_records
from church.observability.logs.outputs import Sink
from church.observability.metrics import worker_files
from church.web.route_access import EVERYONE, Policy, allow

STRONG = "uX7-pQ2_vN9kLm4RtY8wZb3CdF6gHj1S"  # a secret that production takes
STATIC = {"service": "church", "version": "1.2.3", "environment": "development"}


def add_view(
    app: Flask,
    rule: str,
    view: Callable[..., Any],
    policy: Policy = EVERYONE,
    *,
    forms_of_ours: bool = False,
    **options: Any,
) -> None:
    """Serve ``view`` at ``rule``; only before the app's first request. It takes what any page or program sends, or
    ``forms_of_ours`` alone."""
    if not forms_of_ours:
        app.extensions["csrf_exempt"] |= {rule}
    app.add_url_rule(rule, rule, allow(policy)(view), **options)


def value(child: Any) -> float:
    """What a counter or gauge has counted."""
    return float(child._value.get())


@contextmanager
def grows(child: Any, by: float = 1) -> Iterator[None]:
    """The block makes ``child`` grow by exactly ``by``."""
    before = value(child)
    yield
    assert value(child) - before == by


class ListSink(Sink):
    """Keeps its lines."""

    def __init__(self) -> None:
        super().__init__(lambda _count: None)
        self.lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        self.lines.append(line)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@contextmanager
def captured_log(level: int = logging.INFO) -> Iterator[ListSink]:
    """The lines that the site logs in the block, the access record among them."""
    sink = ListSink()
    handler = logs_records.Handler(
        logs_records.RecordFormatter(STATIC, telemetry._log_context), [sink], ListSink(), lambda _count: None
    )
    root = logging.getLogger()
    former, former_handler, former_head = root.level, telemetry._handler, request_observer.access_static
    root.setLevel(level)
    root.addHandler(handler)
    telemetry._handler = handler
    request_observer.prepare(STATIC)
    try:
        yield sink
    finally:
        root.removeHandler(handler)
        root.setLevel(former)
        telemetry._handler, request_observer.access_static = former_handler, former_head


def with_settings(settings: Settings, **changes: Any) -> Settings:
    """The same settings but for ``changes``, by their Python names; not validated."""
    return settings.model_copy(update=changes)


@contextmanager
def no_slot(session_folder: Path) -> Iterator[None]:
    """In the block this process has no slot, and nothing that the other tests declared is counted in one it takes."""
    worker_files.SLOTS.leave()
    worker_files.SLOTS.damaged = 0
    declared, worker_files.SlotValue._all = worker_files.SlotValue._all, []
    try:
        yield
    finally:
        worker_files.SLOTS.leave()
        worker_files.SLOTS.damaged = 0
        worker_files.SlotValue._all = declared
        worker_files.SLOTS.take(session_folder, "web")
