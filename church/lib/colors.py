"""Colours as red, green and blue from 0 to 255: read, mix, and measure the contrast (WCAG 2.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable

Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)

_HEX = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_STEPS = 200


def parse_color(text: str) -> Color:
    """Parse ``#rgb`` or ``#rrggbb``. Raises ValueError."""
    match = _HEX.fullmatch(text)
    if match is None:
        raise ValueError("a colour such as #1d6f5c")
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def to_hex(color: Color) -> str:
    """Write a colour as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def mix(color: Color, other: Color, share: float) -> Color:
    """Mix ``share`` of ``other``, from 0 to 1, into ``color``."""
    red, green, blue = (round(one + (two - one) * share) for one, two in zip(color, other, strict=True))
    return red, green, blue


def measure_contrast(one: Color, other: Color) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def reach_contrast(color: Color, grounds: Iterable[Color], least: float, toward: Color) -> Color:
    """Move ``color`` toward ``toward``, no further than needed for a contrast of ``least`` to each of ``grounds``."""
    behind = tuple(grounds)
    steps = (mix(color, toward, step / _STEPS) for step in range(_STEPS + 1))
    return next((one for one in steps if all(measure_contrast(one, ground) >= least for ground in behind)), toward)


def _luminance(color: Color) -> float:
    red, green, blue = ((c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in (v / 255 for v in color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
