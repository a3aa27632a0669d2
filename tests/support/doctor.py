"""Run one check of the doctor."""

from __future__ import annotations

from church.config import Settings
from church.doctor import CheckResult, run_checks


def check(settings: Settings, name: str) -> CheckResult:
    """Run all checks and return the result of one."""
    return next(found for found in run_checks(settings) if found.name == name)
