"""A clock that is wrong for the site in this process, while durations are measured as ever."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, tzinfo

import pytest

_READERS = {"church", "jwt"}


class _AnyDatetime(type):
    """Makes every datetime an instance of ``_Turned``, for the checks of types in the site."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class _Turned(datetime, metaclass=_AnyDatetime):
    offset = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.offset


def turn_clock(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make the site and its library for tokens read a clock that is ``seconds`` off, from now on."""
    true_time = time.time
    patch.setattr(_Turned, "offset", timedelta(seconds=seconds))
    patch.setattr(time, "time", lambda: true_time() + seconds)
    readers = [module for name, module in [*sys.modules.items()] if name.partition(".")[0] in _READERS]
    for module in readers:
        for name in [name for name, value in vars(module).items() if value is datetime]:
            patch.setattr(module, name, _Turned)
