"""Validate and normalise the email address, name and password of an account form."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from email_validator import EmailNotValidError, validate_email

from church.config import current_settings
from church.errors import ConflictError, FieldErrors
from church.lib.email_addresses import make_key
from church.models import User
from church.services.accounts import passwords
from church.services.email import can_send_to

MAX_NAME_LENGTH = 80
_LONGEST_ADDRESS = 254  # RFC 5321 4.5.3.1.3, without the brackets of a path
BAD_ADDRESS = "Enter a valid email address."
LONG_NAME = f"A name can have at most {MAX_NAME_LENGTH} characters."
# Joiners form letters of some scripts and many emoji; other invisible characters are removed from names.
_JOINERS = "\u200c\u200d"
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


UNREACHABLE = (
    "We can't send email to this address: our mail server takes only the letters of English before the @. "
    "Use another address."
)


@dataclass(frozen=True)
class Address:
    """An email address; ``key`` is the form in which it is compared, the same however it is typed."""

    email: str
    key: str
    typed: str = field(default="", compare=False)
    """As it was typed: an account may still have a key of an earlier release (see ``old_keys``)."""

    @property
    def old_keys(self) -> frozenset[str]:
        """The keys that earlier releases may have made of it, by case folding; without ``key`` itself."""
        return frozenset({self.email.casefold(), self.typed.casefold()} - {self.key, ""})


def try_parse_address(text: str) -> Address | None:
    """Parse an email address; None if it is not valid. DNS is not asked."""
    text = text.strip()
    if len(text) > _LONGEST_ADDRESS:
        return None
    try:
        email = validate_email(text, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        return None
    return Address(email, make_key(email), text)


def require_reachable(address: Address) -> Address:
    """Return ``address``. Raises FieldErrors for ``email`` if the mail server can't send to it."""
    if not can_send_to(current_settings(), address.email):
        raise FieldErrors({"email": UNREACHABLE})
    return address


def require_reachable_account(user: User | None) -> None:
    """Raise ConflictError if the mail server can't send to the address of an account. Call it outside a transaction."""
    if user is not None and user.email is not None and not can_send_to(current_settings(), user.email):
        raise ConflictError(UNREACHABLE)


def parse_address(text: str) -> Address:
    """Parse an email address. Raises FieldErrors for ``email``."""
    parsed = try_parse_address(text)
    if parsed is None:
        raise FieldErrors({"email": BAD_ADDRESS})
    return parsed


def parse_name(text: str) -> str:
    """Clean a name in any script, of at most 80 characters; it may be empty.

    Raises FieldErrors for ``name``.
    """
    name = clean_name(text)
    if len(name) > MAX_NAME_LENGTH:
        raise FieldErrors({"name": LONG_NAME})
    return name


def clean_name(text: str) -> str:
    """Normalise (NFC) to one line without control and formatting characters; empty if nothing is visible."""
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    cleaned = "".join(c for c in spaced if c in _JOINERS or unicodedata.category(c) not in _INVISIBLE).strip()
    return cleaned if any(unicodedata.category(c)[0] in "LNPS" for c in cleaned) else ""


def find_password_problem(password: str, *, name: str, email: str) -> str | None:
    """Return why a new password is refused for a member of that name and address, or None."""
    personal = [name, email, email.partition("@")[0]]
    return passwords.find_weakness(
        password, minimum=current_settings().password_min, personal=[text for text in personal if text]
    )


def validate_new_account(email: str, password: str, name: str) -> tuple[Address, str]:
    """Validate a new account; returns its address and name. Raises FieldErrors with everything that is wrong."""
    errors: dict[str, str] = {}
    parsed, cleaned = try_parse_address(email), clean_name(name)
    if parsed is None:
        errors["email"] = BAD_ADDRESS
    elif not can_send_to(current_settings(), parsed.email):
        errors["email"] = UNREACHABLE
    if len(cleaned) > MAX_NAME_LENGTH:
        errors["name"] = LONG_NAME
    problem = find_password_problem(password, name=cleaned, email=parsed.email if parsed else email)
    if problem:
        errors["password"] = problem
    if errors or parsed is None:
        raise FieldErrors(errors)
    return parsed, cleaned
