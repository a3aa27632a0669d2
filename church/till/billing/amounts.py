"""Round, share and format amounts, which are whole minor units of their currency.

Source: https://docs.stripe.com/currencies. Computed amounts are rounded to amounts that can be charged: three-decimal
currencies to ten minor units; ISK and UGX, which have two decimals at Stripe that are always zero, to a hundred.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_ZERO_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_NO_DECIMALS = frozenset(_ZERO_DECIMALS.split())
_THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_HUNDREDS = frozenset(["isk", "ugx"])


def count_decimals(currency: str) -> int:
    """Return the number of decimals of a currency."""
    return 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2


def round_amount(amount: Decimal, currency: str) -> int:
    """Return the nearest amount that can be charged."""
    step = 10 if currency in _THREE_DECIMALS else 100 if currency in _HUNDREDS else 1
    return int((amount / step).quantize(Decimal(1), ROUND_HALF_UP)) * step


def share_amount(amount: int, numerator: int, denominator: int, currency: str) -> int:
    """Return the share ``numerator / denominator`` of ``amount``, rounded."""
    return round_amount(Decimal(amount) * numerator / denominator, currency)


def format_amount(amount: int, currency: str) -> str:
    """Format an amount for a page: ``USD 12.00``."""
    places = count_decimals(currency)
    return f"{currency.upper()} {Decimal(amount).scaleb(-places):,.{places}f}"
