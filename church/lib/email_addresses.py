"""Email addresses: the form in which they are compared, and the form in which they are sent."""

from __future__ import annotations

import re
import unicodedata

import idna

# A mailbox without quotes (RFC 5322, dot-atom; RFC 6531 adds everything outside ASCII) at a host or an IP address.
_ADDRESS = re.compile(r"[^\x00-\x20\x7f\"(),:;<>@\[\\\]]+@(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Za-z:.]+\])")


def make_key(email: str) -> str:
    """Return the form in which an address is compared: the same however it is typed, and one for each inbox.

    The mailbox is composed (NFC) and in lower case, the domain in its A-labels (IDNA 2008, RFC 5891). Case folding
    would join what are two: ``straße@`` and ``strasse@``.
    """
    mailbox, at, domain = email.rpartition("@")
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFC", mailbox).lower())
    return f"{lowered}{at}{to_ascii_domain(domain)}"


def to_ascii_domain(domain: str) -> str:
    """Write a domain in its A-labels and in lower case; one that has none stays as it is."""
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        return unicodedata.normalize("NFC", domain).lower()


def needs_smtputf8(email: str) -> bool:
    """Whether only a server with SMTPUTF8 (RFC 6531) can send to it: its mailbox has letters outside ASCII."""
    return not email.rpartition("@")[0].isascii()


def to_wire(email: str) -> str:
    """Write an address for the mail server. Raises ValueError for one that could break out of its place.

    A domain outside ASCII is written in its A-labels, which every server takes. With a mailbox outside ASCII the server
    must know SMTPUTF8, and then takes the domain as it is.
    """
    mailbox, at, domain = email.rpartition("@")
    ascii_form = f"{mailbox}{at}{to_ascii_domain(domain)}"
    if not mailbox.isprintable() or not _ADDRESS.fullmatch(ascii_form) or domain != domain.strip():
        raise ValueError("not an email address")
    return email if needs_smtputf8(email) else ascii_form
