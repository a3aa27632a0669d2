"""Amounts: whole minor units, by each currency's own exponent.

Source: https://docs.stripe.com/currencies. What is computed is rounded to what can be charged: three-decimal currencies
to ten minor units; ISK and UGX, which Stripe counts with two decimals that are always zero, to a hundred.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_WHOLES = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_WHOLE = frozenset(_WHOLES.split())
_THREE = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_HUNDREDS = frozenset(["isk", "ugx"])


def exponent(currency: str) -> int:
    """Decimals of the major unit."""
    return 0 if currency in _WHOLE else 3 if currency in _THREE else 2


def rounded(amount: Decimal, currency: str) -> int:
    """The nearest amount that can be charged."""
    step = 10 if currency in _THREE else 100 if currency in _HUNDREDS else 1
    return int((amount / step).quantize(Decimal(1), ROUND_HALF_UP)) * step


def part(amount: int, numerator: int, denominator: int, currency: str) -> int:
    """That share of ``amount``."""
    return rounded(Decimal(amount) * numerator / denominator, currency)


def shown(amount: int, currency: str) -> str:
    """For people: ``USD 12.00``."""
    places = exponent(currency)
    return f"{currency.upper()} {Decimal(amount).scaleb(-places):,.{places}f}"
