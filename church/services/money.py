"""Amounts of money in Stripe's form, whole minor units and a currency: convert and display them.

Source: https://docs.stripe.com/currencies (zero-decimal, three-decimal, and the special cases: ISK and UGX have no
decimals any more, but Stripe sends two that are always zero).
"""

from __future__ import annotations

from decimal import Decimal

_BY_DECIMALS = {
    0: "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf",
    2: "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop "
    "crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs "
    "khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen "
    "pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx "
    "usd uyu uzs wst xcd xcg yer zar zmw",
    3: "bhd jod kwd omr tnd",
}
EXPONENTS = {currency: decimals for decimals, names in _BY_DECIMALS.items() for currency in names.split()}
"""Number of decimals of every currency that Stripe supports."""

# Stripe sends two decimals; they are displayed without.
_WRITTEN_WHOLE = frozenset({"isk", "ugx"})
# Only signs that mean one currency to every reader; $ is used for the US dollar only.
_SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def decimals_of(currency: str) -> int:
    """Return a currency's number of decimals; two if the currency is not in the list."""
    return EXPONENTS.get(currency.lower(), 2)


def to_major_units(amount: int, currency: str) -> Decimal:
    """Convert minor units to the main unit: 800 of usd are 8.00."""
    return Decimal(amount).scaleb(-decimals_of(currency))


def format_amount(amount: int, currency: str) -> str:
    """Format an amount for every page and email: ``$8.00``, ``¥800``, ``KWD 8.000``, ``-$8.00``."""
    code = currency.lower()
    value = to_major_units(abs(amount), code)
    decimals = 0 if code in _WRITTEN_WHOLE and value == value.to_integral_value() else decimals_of(code)
    sign = "-" if amount < 0 else ""
    return f"{sign}{_SIGNS.get(code) or code.upper() + ' '}{value:,.{decimals}f}"
