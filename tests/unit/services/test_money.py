"""Amounts in each currency that Stripe supports."""

from __future__ import annotations

from decimal import Decimal

import pytest

from church.services.money import EXPONENTS, decimals_of, format_amount, to_major_units

# Copied from https://docs.stripe.com/currencies, independently of the code.
WHOLE = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
THOUSANDTHS = {"bhd", "jod", "kwd", "omr", "tnd"}


@pytest.mark.parametrize("currency", sorted(EXPONENTS))
def test_exponent_of_every_currency_matches_stripe(currency: str) -> None:
    assert decimals_of(currency) == (0 if currency in WHOLE else 3 if currency in THOUSANDTHS else 2)
    assert to_major_units(10 ** decimals_of(currency), currency) == 1


def test_exponents_name_every_currency_once_and_in_lower_case() -> None:
    assert set(EXPONENTS) >= WHOLE | THOUSANDTHS | {"usd", "eur", "gbp", "huf", "twd", "isk", "ugx"}
    assert len(EXPONENTS) > 135
    assert all(len(code) == 3 and code.islower() for code in EXPONENTS)


@pytest.mark.parametrize(
    ("amount", "currency", "written", "value"),
    [
        (800, "usd", "$8.00", "8.00"),
        (800, "USD", "$8.00", "8.00"),
        (123456789, "usd", "$1,234,567.89", "1234567.89"),
        (-800, "usd", "-$8.00", "-8.00"),
        (0, "usd", "$0.00", "0"),
        (5, "eur", "€0.05", "0.05"),
        (800, "jpy", "¥800", "800"),
        (-1200000, "jpy", "-¥1,200,000", "-1200000"),
        (8000, "kwd", "KWD 8.000", "8.000"),
        (5120, "kwd", "KWD 5.120", "5.12"),
        (-10, "kwd", "-KWD 0.010", "-0.010"),
        (50000, "isk", "ISK 500", "500"),
        (50000, "ugx", "UGX 500", "500"),
        (50050, "ugx", "UGX 500.50", "500.5"),
        (104500, "huf", "HUF 1,045.00", "1045"),
        (1000, "cad", "CAD 10.00", "10"),
        (500, "krw", "KRW 500", "500"),
    ],
)
def test_display_formats_amounts(amount: int, currency: str, written: str, value: str) -> None:
    assert format_amount(amount, currency) == written
    assert to_major_units(amount, currency) == Decimal(value)


def test_exponent_of_unknown_currency_is_two() -> None:
    assert decimals_of("zzz") == 2
    assert format_amount(150, "zzz") == "ZZZ 1.50"


def test_major_of_large_amount_is_exact() -> None:
    assert to_major_units(2**62 + 1, "usd") == Decimal(2**62 + 1) / 100
