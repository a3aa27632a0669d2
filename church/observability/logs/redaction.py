"""Hide secrets and personal data in log values, by the name of the field and by the form of the value."""

from __future__ import annotations

import re
from itertools import islice
from math import isfinite
from typing import Any

HIDDEN = "[hidden]"
MAX_VALUE = 8_192
_MAX_NAME = 200
_LEAST_CARD = 10**12
_MAX_ITEMS = 100
_SECRET_NAMES = re.compile(
    r"passw|passphrase|secret|token|authoriz|cookie|credential|signature|api[-_]?key|private[-_]?key|csrf|xsrf|email|card"
    r"|(?:^|[-_.])(?:pass|pwd|session|session[-_]?id|jwt|otp|totp|pin|cvc|cvv|iban)$",
    re.IGNORECASE,
)
_SLASHES = r"(?:[/\\]|%2f){1,9}"
EMAILED_LINK = rf"auth{_SLASHES}(?:verify|reset|email|first-admin){_SLASHES}"
"""The part of an emailed link before its token, which opens an account; the first slash may have been cut off."""
LINK_REST = r"[^\s/?\"'<>]{6,256}"
"""The token, and what follows it without a space, slash, quotation mark or bracket."""
SIGNED_STREAM = r"cvt1\.[\w.-]{6,512}"
"""The token that opens the stream of a video (church/services/videos/streaming/playback_tokens.py)."""
_SECRET_FIELD = r"(?:passw(?:or)?d|passphrase|secret|token|api[-_]?key|session|signature)"  # noqa: S105 - a pattern
# Each repetition is bounded or can begin only where another ended, so that hostile text takes linear time.
_SECRET_LOOKS = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s{1,4})[\w.~+/=-]{6,}"
    r"|(?P<cookies>\b(?:set-)?cookie[\"']?\s{0,2}[=:]\s{0,2})[^\r\n]{3,}"
    r"|(?<![\w-])eyJ[\w-]{5,}\.[\w-]{2,}\.[\w-]*"  # a JSON web token
    r"|\b(?:sk|rk|pk)_(?:live|test)_\w{6,256}|\bwhsec_[\w+/=]{6,256}"
    r"|\bchurch_[0-9a-f]{12}_[\w-]{6,128}"  # a machine's token (church/services/machine_tokens.py)
    r"|\bt=\d{6,12},v\d=[0-9a-f]{32,128}"  # Stripe-Signature
    rf"|(?P<quoted>{_SECRET_FIELD}(?:\\{{0,3}}[\"'])?\s?[=:]\s?\\{{0,3}}(?P<quote>[\"']))(?:(?!(?P=quote))[^\r\n]){{2,256}}"
    r"|(?P<words>(?:passw(?:or)?d|passphrase)\s?[=:]\s?)[^&\"',;\r\n]{2,256}"  # of several words
    rf"|(?P<field>{_SECRET_FIELD}[\"']?\s?(?:[=:]|%3d)\s?[\"']?)[^\s&\"',;]{{2,}}"
    rf"|(?P<link>{EMAILED_LINK}){LINK_REST}"
    rf"|\b{SIGNED_STREAM}"
    r"|(?<!\d)\d{1,18}\.[\w-]{43}(?![\w-])"  # the token alone: a number and 256 bits in base64
    r"|(?P<account>://[^\s/:@]{0,64}:)[^\s/@]{1,256}(?=@)"  # a password in an address
    r"|(?:[\w.+-]|%2b){1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"
    r"|\b\d(?:[ -]?\d){12,39}\b",
    re.IGNORECASE,
)

_KEPT = ("scheme", "cookies", "quoted", "words", "field", "link", "account")
"""Groups of the pattern that stay: what leads to a secret."""


def _hide(match: re.Match[str]) -> str:
    kept = next((match[group] for group in _KEPT if match[group]), "")
    if not kept and match[0].replace(" ", "").replace("-", "").isdigit() and not _holds_card(match[0]):
        return match[0]
    return kept + HIDDEN


def _holds_card(text: str) -> bool:
    """Whether ``text``, or up to five groups of digits side by side in it, is the number of a payment card."""
    groups = re.findall(r"\d+", text)
    runs = ["".join(groups)]
    runs += ("".join(groups[first : first + count]) for first in range(len(groups)) for count in range(1, 6))
    return any(13 <= len(run) <= 19 and run[0] in "23456" and _passes_luhn(run) for run in runs)


def _passes_luhn(text: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def redact_text(text: str) -> str:
    """``text`` without what looks like a credential, an address of a person or a card, at most 8 KiB of it."""
    if len(text) > MAX_VALUE:
        text = text[:MAX_VALUE] + "…"
    return _SECRET_LOOKS.sub(_hide, text)


def redact(name: str, value: Any) -> Any:
    """The value to log for a field called ``name``."""
    if _SECRET_NAMES.search(name):
        return HIDDEN
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {redact_text(str(k))[:_MAX_NAME]: redact(str(k), v) for k, v in islice(value.items(), _MAX_ITEMS)}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_item(name, item) for item in islice(value, _MAX_ITEMS)]
    plain = isinstance(value, int | float) and isfinite(value) and abs(value) < _LEAST_CARD
    return value if value is None or plain else redact_text(str(value))


def _redact_item(name: str, item: Any) -> Any:
    """An item of a collection; headers and form fields often come as pairs."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        return [redact_text(item[0])[:_MAX_NAME], redact(item[0], item[1])]
    return redact(name, item)
