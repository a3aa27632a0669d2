"""Units of charts: how a value is written, and which steps of an axis are round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from church.services.money import format_amount

_KILO = ((1e9, "G"), (1e6, "M"), (1e4, "k"))
_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_DECIMAL = (1.0, 2.0, 5.0)
_SIXTIES = (60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0)


@dataclass(frozen=True)
class Unit:
    """A unit of measure; ``write`` makes the text of a value, ``is_whole`` forbids steps below 1."""

    name: str
    write: Callable[[float], str]
    round_step: Callable[[float], float]
    is_whole: bool = False


def write_number(value: float) -> str:
    """Write a number with at most three digits that matter: ``0.25``, ``12.5``, ``1,234``, ``12.3 k``, ``4 M``."""
    for size, letter in _KILO:
        if abs(value) >= size:
            factor = size if letter != "k" else 1e3
            return f"{_trim(value / factor)} {letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else _trim(value)


def _trim(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    if 0 < abs(value) < 0.1:
        return f"{value:.2g}"
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def write_seconds(value: float) -> str:
    """Write a duration: ``0.5 ms``, ``250 ms``, ``1.25 s``, ``3 min``, ``1.5 h``."""
    for size, unit in _TIMES:
        if abs(value) >= (2 * size if unit == "min" else size):
            return f"{_trim(value / size)} {unit}"
    if abs(value) >= 1 or value == 0:
        return f"{_trim(value)} s"
    return f"{_trim(value * 1000)} ms" if abs(value) >= 1e-3 else f"{_trim(value * 1e6)} µs"


def write_bytes(value: float) -> str:
    """Write a size: ``512 B``, ``1.5 KB``, ``20 MB``."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "KB")):
        if abs(value) >= 1024**power:
            return f"{_trim(value / 1024**power)} {unit}"
    return f"{_trim(value)} B"


def _round_decimal(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, 50, … or 0.5, 0.2, … that is at least ``least``."""
    size = 1.0
    while size >= least:
        size /= 10
    while True:
        for part in _DECIMAL:
            if part * size >= least * (1 - 1e-9):
                return float(f"{part * size:.12g}")
        size *= 10


def _round_seconds(least: float) -> float:
    if least <= 30:
        return min(step for step in (_round_decimal(least), 15.0, 30.0) if step >= least)
    return next((step for step in _SIXTIES if step >= least), 86400 * _round_decimal(least / 86400))


def _round_bytes(least: float) -> float:
    power = 1
    while power * 1024 <= least:
        power *= 1024
    return power * next(part for part in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if part * power >= least)


COUNT = Unit("count", write_number, _round_decimal, is_whole=True)
NUMBER = Unit("number", write_number, _round_decimal)
RATE = Unit("rate", lambda value: f"{write_number(value)}/s", _round_decimal)
RATIO = Unit("ratio", lambda value: f"{_trim(value * 100)} %", _round_decimal)
SECONDS = Unit("seconds", write_seconds, _round_seconds)
BYTES = Unit("bytes", write_bytes, _round_bytes)
BYTE_RATE = Unit("byte rate", lambda value: f"{write_bytes(value)}/s", _round_bytes)


def money(currency: str) -> Unit:
    """Make the unit of amounts in minor units of a currency, such as cents."""
    return Unit(currency, lambda value: format_amount(round(value), currency), _round_decimal, is_whole=True)
