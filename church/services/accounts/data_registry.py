"""Registry of member data that other services store, for export, deletion and confirmation of an account.

A service that stores data of members registers functions here when it is imported::

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
Confirmer = Callable[[Session, User], None]
_E = TypeVar("_E", bound=Exporter)
_D = TypeVar("_D", bound=Deleter)
_C = TypeVar("_C", bound=Confirmer)

_exporters: dict[str, Exporter] = {}
_deleters: list[Deleter] = []
_confirmers: list[Confirmer] = []


def register_export(part: str) -> Callable[[_E], _E]:
    """Register the decorated ``fn(session, user)``: its result is ``part`` of the member's export, as JSON.

    Raises ValueError if the part is registered already.
    """

    def register(function: _E) -> _E:
        if part in _exporters:
            raise ValueError(f"{part!r} is already exported by {_exporters[part]!r}")
        _exporters[part] = function
        return function

    return register


def register_deletion(function: _D) -> _D:
    """Register the decorated ``fn(session, user)``: it runs before the account is emptied, in the same transaction.

    If it raises, the account is not deleted.
    """
    _deleters.append(function)
    return function


def register_confirmation(function: _C) -> _C:
    """Register the decorated ``fn(session, user)``: it runs when an account has confirmed its address or a new one.

    It runs in the transaction that stores the confirmation.
    """
    _confirmers.append(function)
    return function


def collect_data(session: Session, user: User) -> dict[str, Any]:
    """Return every part of ``user``'s data, by name."""
    return {part: export(session, user) for part, export in _exporters.items()}


def delete_data(session: Session, user: User) -> None:
    """Call every registered function that deletes data of ``user``."""
    for delete in _deleters:
        delete(session, user)


def tell_confirmed(session: Session, user: User) -> None:
    """Call every registered function that waits for a confirmed address."""
    for confirm in _confirmers:
        confirm(session, user)
