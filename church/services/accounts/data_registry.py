"""What belongs to an account but is not the account's own: each part says what it exports and what it deletes.

A service that keeps something of its members registers itself here when it is imported::

    @exports("payments")
    def payments_of(session, user): ...

    @on_delete
    def forget_payments(session, user): ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from church.models import User

Exporter = Callable[[Session, User], Any]
Deleter = Callable[[Session, User], None]
_E = TypeVar("_E", bound=Exporter)
_D = TypeVar("_D", bound=Deleter)

_exporters: dict[str, Exporter] = {}
_deleters: list[Deleter] = []


def exports(part: str) -> Callable[[_E], _E]:
    """Register the decorated ``fn(session, user)``: what it gives is ``part`` of the member's export, as JSON.

    Raises ValueError when the part is taken.
    """

    def register(function: _E) -> _E:
        if part in _exporters:
            raise ValueError(f"{part!r} is exported already, by {_exporters[part]!r}")
        _exporters[part] = function
        return function

    return register


def on_delete(function: _D) -> _D:
    """Register the decorated ``fn(session, user)``: it runs before the account is emptied, in the same transaction.

    What it raises keeps the account.
    """
    _deleters.append(function)
    return function


def collect(session: Session, user: User) -> dict[str, Any]:
    """Every part of ``user``'s data, by its name."""
    return {part: export(session, user) for part, export in _exporters.items()}


def forget(session: Session, user: User) -> None:
    """Have every part delete what it keeps of ``user``."""
    for delete in _deleters:
        delete(session, user)
