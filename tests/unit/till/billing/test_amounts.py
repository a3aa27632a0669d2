"""Amounts in the units of each currency."""

from __future__ import annotations

from decimal import Decimal

import pytest

from church.till.billing.amounts import format_amount, round_amount, share_amount


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1200, "usd", "USD 12.00"),
        (800, "jpy", "JPY 800"),
        (8000, "kwd", "KWD 8.000"),
        (123456789, "eur", "EUR 1,234,567.89"),
    ],
)
def test_shown_has_the_decimals_of_the_currency(amount, currency, text):
    assert format_amount(amount, currency) == text


@pytest.mark.parametrize(
    ("amount", "currency", "found"),
    [
        ("12.5", "usd", 13),
        ("-12.5", "usd", -13),
        ("0.5", "jpy", 1),
        ("1234.9", "kwd", 1230),
        ("1235", "kwd", 1240),
        ("150", "isk", 200),
        ("149", "ugx", 100),
    ],
)
def test_rounded_is_an_amount_that_can_be_charged(amount, currency, found):
    assert round_amount(Decimal(amount), currency) == found


def test_part_of_a_credit_equals_part_of_a_charge():
    assert share_amount(500, 1, 3, "usd") == 167
    assert share_amount(500, 1, 3, "usd") + share_amount(-500, 1, 3, "usd") == 0
