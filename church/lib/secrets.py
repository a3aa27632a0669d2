"""Check how strong secrets are, and generate those of a development site, kept in the instance folder."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path

from church.lib.files import make_private

MIN_LENGTH = 32
_MIN_DISTINCT = 10
_PLACEHOLDERS = ("change", "secret-key", "example", "password", "default")


def find_weakness(value: str) -> str | None:
    """Explain to the operator why a secret is too weak for production; None if it is strong enough."""
    if not value:
        return "missing; generate one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
    if len(value) < MIN_LENGTH:
        return f"has {len(value)} characters; needs at least {MIN_LENGTH}"
    if len(set(value)) < _MIN_DISTINCT or any(word in value.lower() for word in _PLACEHOLDERS):
        return "looks guessable; use random characters"
    return None


def _parse(text: str, instance: Path) -> dict[str, str]:
    try:
        stored: dict[str, str] = dict(json.loads(text or "{}"))
    except (ValueError, TypeError):
        raise ValueError(
            f"CHURCH_INSTANCE: {instance / 'secrets.json'} is damaged. Delete it, and new secrets are generated"
        ) from None
    return stored


def load_instance_secret(instance: Path, name: str) -> str:
    """Load the secret ``name`` from the folder ``instance``. The first process that needs it generates it.

    Raises OSError, and ValueError for a damaged file.
    """
    make_private(instance)
    fd = os.open(instance / "secrets.json", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(fd, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        stored = _parse(file.read(), instance)
        if name not in stored:
            stored[name] = secrets.token_urlsafe(48)
            file.seek(0)
            json.dump(stored, file)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    return stored[name]
