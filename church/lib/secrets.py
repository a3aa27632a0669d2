"""Secrets of a development site: made once, kept in the instance folder, readable by its owner alone."""

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


def weakness(value: str) -> str | None:
    """What is wrong with a secret, in words for the operator, or None when it is fit for production."""
    if not value:
        return "missing; make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
    if len(value) < MIN_LENGTH:
        return f"has {len(value)} characters; wants at least {MIN_LENGTH}"
    if len(set(value)) < _MIN_DISTINCT or any(word in value.lower() for word in _PLACEHOLDERS):
        return "looks guessable; wants random characters"
    return None


def _parsed(text: str, instance: Path) -> dict[str, str]:
    try:
        kept: dict[str, str] = dict(json.loads(text or "{}"))
    except (ValueError, TypeError):
        raise ValueError(
            f"CHURCH_INSTANCE: {instance / 'secrets.json'} is damaged; delete it, new ones are made"
        ) from None
    return kept


def instance_secret(instance: Path, name: str) -> str:
    """The secret kept as ``name`` in ``instance``, made by whichever process asks first."""
    make_private(instance)
    fd = os.open(instance / "secrets.json", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(fd, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = _parsed(file.read(), instance)
        if name not in kept:
            kept[name] = secrets.token_urlsafe(48)
            file.seek(0)
            json.dump(kept, file)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    return kept[name]
