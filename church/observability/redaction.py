"""What may never stand in a log: taken out by the name of the field, and by the look of the value."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "[hidden]"
_MAX_VALUE = 8_192
_SECRET_NAMES = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authoriz|cookie|signature|api_?key|private_?key|csrf|email|card|cvc|cvv",
    re.IGNORECASE,
)
# Every run is bounded, so that hostile text costs no more than its length.
_SECRET_LOOKS = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s{1,4})[\w.~+/=-]{6,4096}"
    r"|\beyJ[\w-]{5,4096}\.[\w-]{2,4096}\.[\w-]{0,1024}"  # a JSON web token
    r"|\b(?:sk|rk|pk)_(?:live|test)_\w{6,256}|\bwhsec_[\w+/=]{6,256}"
    r"|\bt=\d{6,12},v\d=[0-9a-f]{32,128}"  # Stripe-Signature
    r"|(?P<field>\b(?:password|passwd|secret|token|api_?key|session|csrf_token|signature)[\"']?\s?[=:]\s?[\"']?)"
    r"[^\s&\"',;]{3,4096}"
    r"|(?P<account>://[^\s/:@]{1,64}:)[^\s/@]{1,256}(?=@)"  # a password in an address
    r"|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"
    r"|\b(?:\d[ -]?){13,19}\b",
    re.IGNORECASE,
)


def _hide(match: re.Match[str]) -> str:
    kept = match["scheme"] or match["field"] or match["account"] or ""
    if not kept and match[0].replace(" ", "").replace("-", "").isdigit() and not _passes_luhn(match[0]):
        return match[0]
    return kept + HIDDEN


def _passes_luhn(text: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def redact_text(text: str) -> str:
    """``text`` without what looks like a credential, an address of a person or a card, at most 8 KiB of it."""
    if len(text) > _MAX_VALUE:
        text = text[:_MAX_VALUE] + "…"
    return _SECRET_LOOKS.sub(_hide, text)


def redact(name: str, value: Any) -> Any:
    """The value to log for a field called ``name``."""
    if _SECRET_NAMES.search(name):
        return HIDDEN
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {str(k): redact(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(name, item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(str(value))
