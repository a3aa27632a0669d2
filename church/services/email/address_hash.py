"""Hash email addresses for records that must not contain them, such as security events and rate limits."""

from __future__ import annotations

import hashlib
import hmac

from church.config import current_settings


def hash_address(key: str) -> str:
    """Hash ``key``, an address in the form in which it is compared: 16 hex digits.

    The hash is keyed with the site's secret, so only this site can compute it.
    """
    secret = hmac.digest(current_settings().secret_keys[0].encode(), b"church addresses", hashlib.sha256)
    return hmac.digest(secret, key.encode(), hashlib.sha256).hex()[:16]
