"""How values are written, and which steps are round."""

from __future__ import annotations

import pytest

from church.web.charts import units


@pytest.mark.parametrize(
    ("unit", "value", "words"),
    [
        (units.COUNT, 0, "0"),
        (units.COUNT, 999, "999"),
        (units.COUNT, 1234, "1,234"),
        (units.COUNT, 12_345, "12.3 k"),
        (units.COUNT, 4_000_000, "4 M"),
        (units.NUMBER, 0.25, "0.25"),
        (units.NUMBER, 0.0123, "0.012"),
        (units.RATE, 12.5, "12.5/s"),
        (units.RATIO, 0.125, "12.5 %"),
        (units.SECONDS, 0, "0 s"),
        (units.SECONDS, 0.00005, "50 µs"),
        (units.SECONDS, 0.0125, "12.5 ms"),
        (units.SECONDS, 1.25, "1.25 s"),
        (units.SECONDS, 90, "90 s"),
        (units.SECONDS, 180, "3 min"),
        (units.SECONDS, 5400, "1.5 h"),
        (units.SECONDS, 172_800, "2 d"),
        (units.BYTES, 512, "512 B"),
        (units.BYTES, 1536, "1.5 KB"),
        (units.BYTES, 20 * 1024**2, "20 MB"),
        (units.BYTE_RATE, 2048, "2 KB/s"),
        (units.money("usd"), 800, "$8.00"),
    ],
)
def test_value_is_written_in_its_unit(unit: units.Unit, value: float, words: str) -> None:
    assert unit.write(value) == words


@pytest.mark.parametrize(
    ("unit", "least", "step"),
    [
        (units.NUMBER, 3, 5),
        (units.NUMBER, 0.011, 0.02),
        (units.NUMBER, 5, 5),
        (units.NUMBER, 900, 1000),
        (units.SECONDS, 0.3, 0.5),
        (units.SECONDS, 11, 15),
        (units.SECONDS, 40, 60),
        (units.SECONDS, 4000, 7200),
        (units.SECONDS, 3 * 86400, 5 * 86400),
        (units.BYTES, 3, 4),
        (units.BYTES, 3000, 4096),
        (units.BYTES, 600, 1024),
    ],
)
def test_step_is_the_next_round_one_of_the_unit(unit: units.Unit, least: float, step: float) -> None:
    assert unit.round_step(least) == pytest.approx(step)
