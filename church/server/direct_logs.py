"""Logging of the processes that start others: written directly, without a thread, to the log folder and the console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from church.lib.log_fields import Scheme
from church.observability.logs import records

if TYPE_CHECKING:
    from church.config import Settings


class LogPlan(NamedTuple):
    """Where a process logs, and what each of its records carries; plain values, to be passed on."""

    folder: str
    level: str
    static: dict[str, str]
    scheme: Scheme


def describe_logs(settings: Settings) -> LogPlan:
    """How processes with these settings log."""
    from church.lib.version import VERSION  # noqa: PLC0415 - the supervisor gets it with the plan

    static = {"service": "church", "version": VERSION, "environment": settings.environment}
    return LogPlan(str(settings.log_dir), settings.log_level, static, settings.log_scheme)


def install_logs(plan: LogPlan) -> None:
    """Set up logging as planned."""
    formatter = records.RecordFormatter(plan.static, dict, scheme=plan.scheme)
    records.install(records.build(Path(plan.folder), formatter, lambda _count: None), plan.level)
