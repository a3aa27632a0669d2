"""Whether a webhook is Stripe's: the scheme of the header ``Stripe-Signature``.

Source: https://docs.stripe.com/webhooks#verify-manually. The SDK's own check takes one secret and lets a timestamp of
the future pass; here both edges of the tolerance hold, and two secrets are good while one replaces the other.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

TOLERANCE = 300  # seconds
_LONGEST_HEADER = 2048
_MOST_SIGNATURES = 8


class SignatureError(Exception):
    """A webhook that is not to be believed; its text is ``missing``, ``malformed``, ``wrong`` or ``stale``."""


def check_signature(raw: bytes, header: str | None, secrets: Sequence[str], now: float) -> None:
    """Raise SignatureError unless ``raw`` was signed by one of ``secrets`` at most 300 s from ``now``."""
    if not header:
        raise SignatureError("missing")
    stamp, signatures = _parts(header)
    signed = stamp.encode() + b"." + raw
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode() for secret in secrets]
    # No short cut: how long it takes says nothing of which secret or signature it was.
    if not any([hmac.compare_digest(mine, theirs) for mine in expected for theirs in signatures]):  # noqa: C419
        raise SignatureError("wrong")
    if abs(now - int(stamp)) > TOLERANCE:
        raise SignatureError("stale")


def _parts(header: str) -> tuple[str, list[bytes]]:
    """The timestamp and the signatures of the one scheme that is good, v1."""
    stamps, signatures = [], []
    for item in header[:_LONGEST_HEADER].split(","):
        name, _, value = item.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1":
            signatures.append(value.encode("utf-8", "replace"))
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) <= 12):
        raise SignatureError("malformed")
    return stamps[0], signatures[:_MOST_SIGNATURES]
