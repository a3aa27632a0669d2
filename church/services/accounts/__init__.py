"""Accounts: registration, sign-in, recovery, profile, export and deletion by their owners.

There is no HTTP here: a blueprint passes what was typed, the ``Device`` it came from and the ``Gate`` that slows down
guessing, and gets data or one of the errors of ``church.errors``. Telemetry is recorded here, after the commit. What
admins do to other accounts is in ``members``.
"""

from church.services.accounts.data_registry import register_confirmation, register_deletion, register_export
from church.services.accounts.deletion import delete_account
from church.services.accounts.export import export_account, read_profile
from church.services.accounts.failed_sign_ins import (
    CredentialsError,
    ThrottledError,
    make_confirmations_error,
    make_throttled_error,
)
from church.services.accounts.find_account import find_by_address, list_accounts_with_same_address
from church.services.accounts.kept_records import stream_export
from church.services.accounts.member_list import (
    MemberFilters,
    MemberPlace,
    MemberState,
    MemberView,
    UnknownMemberError,
)
from church.services.accounts.members import (
    create_account,
    disable_account,
    enable_account,
    end_sessions,
    load_account_details,
    load_member,
    search_accounts,
    send_reset,
    set_role,
)
from church.services.accounts.passwords import MAX_PASSWORD_LENGTH
from church.services.accounts.profile import (
    WRONG_PASSWORD,
    actor_of,
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
from church.services.accounts.sign_in import sign_in_with_password, sign_out
from church.services.accounts.validation import try_parse_address

__all__ = [
    "MAX_PASSWORD_LENGTH",
    "WRONG_PASSWORD",
    "CredentialsError",
    "MemberFilters",
    "MemberPlace",
    "MemberState",
    "MemberView",
    "ThrottledError",
    "UnknownMemberError",
    "account_to_verify",
    "actor_of",
    "change_password",
    "confirm_email",
    "create_account",
    "create_first_admin",
    "delete_account",
    "disable_account",
    "email_for_reset",
    "enable_account",
    "end_device",
    "end_devices",
    "end_sessions",
    "export_account",
    "find_by_address",
    "list_accounts_with_same_address",
    "load_account_details",
    "load_member",
    "make_confirmations_error",
    "make_first_admin_link",
    "make_throttled_error",
    "read_profile",
    "register",
    "register_confirmation",
    "register_deletion",
    "register_export",
    "rename",
    "request_email_change",
    "request_reset",
    "reset_password",
    "search_accounts",
    "send_reset",
    "send_verification",
    "set_role",
    "sign_in_with_password",
    "sign_out",
    "stream_export",
    "try_parse_address",
    "verify_address",
]
