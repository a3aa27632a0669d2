"""Keep the developer's settings out of the tests."""

from __future__ import annotations

import os

import pytest

SETTINGS_OF_THE_SHELL = (
    "CHURCH_",
    "OTEL_",
    "STRIPE_",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "METRICS_TOKEN",
    "LOG_LEVEL",
)


def forget_the_shell(patch: pytest.MonkeyPatch) -> None:
    """Remove all settings from the environment for as long as ``patch`` lasts."""
    for name in list(os.environ):
        if name.startswith(SETTINGS_OF_THE_SHELL) and name != "CHURCH_REQUIRE_SERVICES":
            patch.delenv(name)
