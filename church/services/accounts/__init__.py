"""Accounts: registration, sign-in, recovery, profile, export and deletion by their owners.

There is no HTTP here: a blueprint passes what was typed, the ``Device`` it came from and the ``Gate`` that slows down
guessing, and gets data or one of the errors of ``church.errors``. Telemetry is recorded here, after the commit. What
admins do to other accounts is in ``members``.
"""

from church.services.accounts.deletion import delete_account
from church.services.accounts.export import Profile, export_account, read_profile
from church.services.accounts.failed_sign_ins import CredentialsError, Gate, ThrottledError
from church.services.accounts.profile import (
    change_password,
    confirm_email,
    end_device,
    end_devices,
    rename,
    request_email_change,
)
from church.services.accounts.recovery import email_for_reset, request_reset, reset_password
from church.services.accounts.registration import (
    account_to_verify,
    create_first_admin,
    make_first_admin_link,
    register,
    send_verification,
    verify_address,
)
from church.services.accounts.sign_in import SignInResult, sign_in_with_password, sign_out

__all__ = [
    "CredentialsError",
    "Gate",
    "Profile",
    "SignInResult",
    "ThrottledError",
    "account_to_verify",
    "change_password",
    "confirm_email",
    "create_first_admin",
    "delete_account",
    "email_for_reset",
    "end_device",
    "end_devices",
    "export_account",
    "make_first_admin_link",
    "read_profile",
    "register",
    "rename",
    "request_email_change",
    "request_reset",
    "reset_password",
    "send_verification",
    "sign_in_with_password",
    "sign_out",
    "verify_address",
]
