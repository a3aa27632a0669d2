"""Helpers of many test modules: extra routes, counter values, captured log records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from flask import Flask

from church import telemetry
from church.config import Settings
from church.observability import request_observer
from church.observability.logs import records as logs_records
from church.observability.logs.outputs import Sink
from church.observability.metrics import worker_files
from church.observability.record_budget import RecordBudget, Share
from church.web.route_access import EVERYONE, Policy, allow
from tests.support.log_lines import parse_record

STRONG = "uX7-pQ2_vN9kLm4RtY8wZb3CdF6gHj1S"  # strong enough for production
BY_PROXY = {"church.trusted": True}
"""Environ of a request that a trusted proxy has passed on."""
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
    """Add a route before the app's first request. It is exempt from CSRF checks unless ``forms_of_ours``."""
    if not forms_of_ours:
        app.extensions["csrf_exempt"] |= {rule}
    app.add_url_rule(rule, rule, allow(policy)(view), **options)


def value(child: Any) -> float:
    """Current value of a counter or gauge."""
    return float(child._value.get())


@contextmanager
def grows(child: Any, by: float = 1) -> Iterator[None]:
    """Assert that the block increases ``child`` by exactly ``by``."""
    before = value(child)
    yield
    assert value(child) - before == by


class ListSink(Sink):
    """A sink that keeps its lines in memory."""

    def __init__(self) -> None:
        super().__init__(lambda _count: None)
        self.lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        self.lines.append(line)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [parse_record(line) for line in self.lines]


@contextmanager
def captured_log(
    level: int = logging.INFO, paths: Literal["failures", "always", "never"] = "failures"
) -> Iterator[ListSink]:
    """Capture the lines that the site logs in the block, access records included."""
    sink = ListSink()
    handler = logs_records.Handler(
        logs_records.RecordFormatter(STATIC, telemetry._log_context, telemetry._error_context),
        [sink],
        ListSink(),
        lambda _count: None,
    )
    handler.on_exception = telemetry._keep_error
    root = logging.getLogger()
    former, former_handler, former_access = root.level, telemetry._handler, request_observer.access
    root.setLevel(level)
    root.addHandler(handler)
    telemetry._handler = handler
    request_observer.prepare_access_records(STATIC, paths)
    try:
        yield sink
    finally:
        root.removeHandler(handler)
        root.setLevel(former)
        telemetry._handler, request_observer.access = former_handler, former_access


def unlimited_budget() -> RecordBudget:
    """A budget that leaves out no record."""
    unlimited = Share(address=10**9, first=10**9, repeated=10**9)
    return RecordBudget(ordinary=unlimited, high=unlimited)


def with_settings(settings: Settings, **changes: Any) -> Settings:
    """A copy of ``settings`` with ``changes`` by Python name, not validated."""
    return settings.model_copy(update=changes)


@contextmanager
def no_slot(session_folder: Path) -> Iterator[None]:
    """Run the block without a metrics slot and without the metrics that other tests have declared."""
    worker_files.SLOTS.leave()
    worker_files.SLOTS.damage.clear()
    declared, worker_files.SlotValue._all = worker_files.SlotValue._all, []
    try:
        yield
    finally:
        worker_files.SLOTS.leave()
        worker_files.SLOTS.damage.clear()
        worker_files.SlotValue._all = declared
        worker_files.SLOTS.take(session_folder, "web")


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
