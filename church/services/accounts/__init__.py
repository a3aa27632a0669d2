"""Accounts: registration, sign-in, recovery, profile, export and deletion by their owners.

There is no HTTP here: a blueprint passes what was typed, the ``Device`` it came from and the ``Gate`` that slows down
guessing, and gets data or one of the errors of ``church.errors``. Telemetry is recorded here, after the commit. What
admins do to other accounts is in ``members``.
"""

from church.services.accounts.deletion import delete
from church.services.accounts.export import Profile, export_account, read_profile
from church.services.accounts.failed_sign_ins import CredentialsError, Gate, ThrottledError
from church.services.accounts.profile import (
    ask_email_change,
    change_password,
    confirm_email,
    end_device,
    end_devices,
    rename,
)
from church.services.accounts.recovery import forgot, reset, reset_address
from church.services.accounts.registration import (
    awaiting,
    become_admin,
    first_admin_address,
    register,
    send_verification,
    verify,
)
from church.services.accounts.sign_in import SignInResult, sign_in_with_password, sign_out

__all__ = [
    "CredentialsError",
    "Gate",
    "Profile",
    "SignInResult",
    "ThrottledError",
    "ask_email_change",
    "awaiting",
    "become_admin",
    "change_password",
    "confirm_email",
    "delete",
    "end_device",
    "end_devices",
    "export_account",
    "first_admin_address",
    "forgot",
    "read_profile",
    "register",
    "rename",
    "reset",
    "reset_address",
    "send_verification",
    "sign_in_with_password",
    "sign_out",
    "verify",
]
