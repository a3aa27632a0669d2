"""Money as Stripe counts it: whole minor units and a currency, and how many decimals each currency has.

Sources: https://docs.stripe.com/currencies (zero-decimal, three-decimal, and the special cases: ISK and UGX have no
decimals any more, and are still sent with two that are always zero).
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
"""Decimals of every currency that Stripe takes."""

# Sent with two decimals, written with none.
_WRITTEN_WHOLE = frozenset({"isk", "ugx"})
# Only signs that mean one currency to everybody who reads a price here; $ is the US dollar's alone.
_SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def exponent(currency: str) -> int:
    """How many of an amount's digits stand behind the point; two for a currency that Stripe takes since."""
    return EXPONENTS.get(currency.lower(), 2)


def major(amount: int, currency: str) -> Decimal:
    """``amount`` minor units in the unit that people name: 800 of usd are 8.00."""
    return Decimal(amount).scaleb(-exponent(currency))


def display(amount: int, currency: str) -> str:
    """For people, in one notation on every page and mail: ``$8.00``, ``¥800``, ``KWD 8.000``, ``-$8.00``."""
    code = currency.lower()
    value = major(abs(amount), code)
    decimals = 0 if code in _WRITTEN_WHOLE and value == value.to_integral_value() else exponent(code)
    sign = "-" if amount < 0 else ""
    return f"{sign}{_SIGNS.get(code) or code.upper() + ' '}{value:,.{decimals}f}"
