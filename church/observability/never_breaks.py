"""Telemetry that fails is counted, and its caller goes on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

from church.observability import raise_in_tests
from church.observability.metrics import definitions

P = ParamSpec("P")


def never_breaks(verb: Callable[P, None]) -> Callable[P, None]:
    """Count what ``verb`` raises instead of passing it to the caller."""

    @functools.wraps(verb)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except Exception:
            if raise_in_tests.on:
                raise
            definitions.telemetry_errors.labels("verb").inc()

    return guarded
