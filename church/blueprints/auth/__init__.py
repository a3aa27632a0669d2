"""The way in and what belongs to an account: one blueprint, a room for each part of it."""

from church.blueprints.auth import (
    account,
    account_data,
    address,
    devices,
    first_admin,
    recover,
    register,
    sign_in,
    verify,
)
from church.blueprints.auth.blueprint import bp

__all__ = [
    "account",
    "account_data",
    "address",
    "bp",
    "devices",
    "first_admin",
    "recover",
    "register",
    "sign_in",
    "verify",
]
