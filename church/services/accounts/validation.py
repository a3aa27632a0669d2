"""What somebody typed into a form about an account, made comparable, and refused in words where it is wrong."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from church.config import current_settings
from church.errors import FieldErrors
from church.services.accounts import passwords

LONGEST_NAME = 80
_LONGEST_ADDRESS = 254  # RFC 5321 4.5.3.1.3, without the brackets of a path
BAD_ADDRESS = "Enter a valid email address."
LONG_NAME = f"A name can have at most {LONGEST_NAME} characters."
# Joiners make letters of some scripts and many emoji; nothing else of their kind is seen or wanted in a name.
_JOINERS = "\u200c\u200d"
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True)
class Address:
    """An email address as it is written to, and ``key``: as it is compared, the same however it is typed."""

    email: str
    key: str


def parsed_address(text: str) -> Address | None:
    """``text`` as an address, or None where it is none; no server is asked."""
    text = text.strip()
    if len(text) > _LONGEST_ADDRESS:
        return None
    try:
        email = validate_email(text, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        return None
    return Address(email, email.casefold())


def address(text: str) -> Address:
    """``text`` as an address. Raises FieldErrors for ``email``."""
    found = parsed_address(text)
    if found is None:
        raise FieldErrors({"email": BAD_ADDRESS})
    return found


def display_name(text: str) -> str:
    """A name in any script, without what nobody sees and at most 80 characters; may be empty.

    Raises FieldErrors for ``name``.
    """
    name = clean_name(text)
    if len(name) > LONGEST_NAME:
        raise FieldErrors({"name": LONG_NAME})
    return name


def clean_name(text: str) -> str:
    """``text`` in NFC, on one line, without control and formatting characters; empty if nothing of it is seen."""
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    kept = "".join(c for c in spaced if c in _JOINERS or unicodedata.category(c) not in _INVISIBLE).strip()
    return kept if any(unicodedata.category(c)[0] in "LNPS" for c in kept) else ""


def password_problem(password: str, *, name: str, email: str) -> str | None:
    """What is wrong with a new password of somebody of that name and address, or None."""
    personal = [name, email, email.partition("@")[0]]
    return passwords.weakness(
        password, minimum=current_settings().password_min, personal=[text for text in personal if text]
    )


def new_account(email: str, password: str, name: str) -> tuple[Address, str]:
    """The address and name of a new account. Raises FieldErrors with everything that is wrong, password included."""
    errors: dict[str, str] = {}
    found, shown = parsed_address(email), clean_name(name)
    if found is None:
        errors["email"] = BAD_ADDRESS
    if len(shown) > LONGEST_NAME:
        errors["name"] = LONG_NAME
    problem = password_problem(password, name=shown, email=found.email if found else email)
    if problem:
        errors["password"] = problem
    if errors or found is None:
        raise FieldErrors(errors)
    return found, shown
