"""Colours: parsed, and moved until they can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.lib.colors import BLACK, WHITE, measure_contrast, parse_color, reach_contrast, to_hex

COLORS = st.tuples(*[st.integers(0, 255)] * 3)


@pytest.mark.parametrize(("text", "color"), [("#1d6f5c", (29, 111, 92)), ("#FA0", (255, 170, 0))])
def test_color_is_parsed(text: str, color: tuple[int, int, int]) -> None:
    assert parse_color(text) == color


@pytest.mark.parametrize("text", ["", "red", "1d6f5c", "#12", "#12345g", "#12345678", "#fff;}body{", " #fff"])
def test_text_that_is_no_color_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as #1d6f5c"):
        parse_color(text)


def test_contrast_is_that_of_wcag() -> None:
    assert measure_contrast(BLACK, WHITE) == pytest.approx(21)
    assert measure_contrast((0x76, 0x76, 0x76), WHITE) == pytest.approx(4.54, abs=0.005)


@given(COLORS)
def test_color_reaches_the_contrast_and_one_that_has_it_is_kept(color: tuple[int, int, int]) -> None:
    moved = reach_contrast(color, (WHITE,), 4.5, BLACK)
    assert measure_contrast(moved, WHITE) >= 4.5
    assert (moved == color) == (measure_contrast(color, WHITE) >= 4.5)
    assert parse_color(to_hex(color)) == color
