"""Pages to register, sign in and recover an account, and the account page. One blueprint, a module for each part."""

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
from church.blueprints.auth.sign_in import WAY_IN

__all__ = [
    "WAY_IN",
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
