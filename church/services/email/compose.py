"""Compose an email: a template's subject, text and HTML as one message, with headers that are safe from injection.

Links are made at sending time, from the site's own address. Text that people typed is put on one line before it gets
into a header.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from textwrap import fill
from typing import Any
from urllib.parse import urlencode

from church.config import current_settings
from church.lib.app_context import app_template
from church.lib.email_addresses import needs_smtputf8, to_ascii_domain, to_wire
from church.lib.text import one_line
from church.models.accounts import Link
from church.models.base import utc_now
from church.services import email_links
from church.services.brand import current_brand
from church.services.email.errors import MailRefusedError
from church.services.email.headers import POLICY, set_header, write_mailbox, write_text

LINKED = frozenset({"verify", "reset", "change_email", "invited"})
NOTICES = frozenset({"already_registered", "password_changed", "email_changing", "account_deleted"})
MEMBERSHIP = frozenset(
    {"welcome", "trial_ending", "renewal_ahead", "payment_failed", "invoice_open", "membership_cancelled"}
    | {"membership_ended", "pass_given", "pass_ending", "pass_ended"}
)
ADMINS = frozenset({"new_reports", "new_errors"})
TEMPLATES = LINKED | NOTICES | MEMBERSHIP | ADMINS

_LONGEST_LINE = 900  # bytes; RFC 5322 ends a line at 998
_LONGEST_NAME = 80
_WIDTH = 72


@dataclass(frozen=True)
class EmailToSend:
    """An email to compose: its row and the rows it refers to, as they are now."""

    id: int
    template: str
    recipient: str
    name: str
    context: dict[str, Any]
    link: Link | None
    created_at: datetime


def compose_message(letter: EmailToSend) -> EmailMessage:
    """Compose the whole message. Raises MailRefusedError if the address is not valid."""
    values = {
        **letter.context,
        "name": one_line(letter.name)[:_LONGEST_NAME],
        "link": _link_address(letter),
        "lifetime": _lifetime(letter.link) if letter.link else "",
    }
    text = app_template(f"email/{letter.template}.txt")
    page = app_template(f"email/{letter.template}.html")
    subject = one_line("".join(text.blocks["subject"](text.new_context(values))))
    message = _addressed(letter.recipient)
    set_header(message, "Subject", write_text("Subject", subject))
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = _message_id(letter)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: keeps out-of-office replies away
    _add_bodies(message, _folded(text.render(values)), page.render(values, subject=subject))
    return message


def _link_address(letter: EmailToSend) -> str:
    """The address of the link, with the page to open after it; empty without a link."""
    if letter.link is None:
        return ""
    address, then = email_links.link_address(letter.link), letter.context.get("then")
    return f"{address}?{urlencode({'next': then})}" if then else address


def _folded(text: str) -> str:
    """Wrap paragraphs at 72 columns; a link stays whole on its line."""
    lines = (fill(line, _WIDTH, break_long_words=False, break_on_hyphens=False) for line in text.strip().split("\n"))
    return "\n".join(lines) + "\n"


def _addressed(recipient: str) -> EmailMessage:
    site = current_settings()
    try:
        sender, to = to_wire(site.sender), to_wire(recipient)
    except ValueError:
        raise MailRefusedError("the sender or recipient is not a valid email address") from None
    international = needs_smtputf8(sender) or needs_smtputf8(to)
    message = EmailMessage(policy=POLICY.clone(utf8=True) if international else POLICY)
    set_header(message, "From", write_mailbox(one_line(site.site_name), sender))
    set_header(message, "To", to)
    return message


def _message_id(letter: EmailToSend) -> str:
    """The same at every attempt, so that an email sent twice (after a crash) is shown once."""
    domain = to_ascii_domain(current_settings().sender.rpartition("@")[2])
    facts = f"{current_settings().origin} {letter.id} {letter.created_at.isoformat()}"
    return f"<{hashlib.sha256(facts.encode()).hexdigest()[:32]}@{domain}>"


def _add_bodies(message: EmailMessage, text: str, page: str) -> None:
    message.set_content(text, cte=_encoding(text))
    message.add_alternative(page, subtype="html", cte=_encoding(page))
    logo, shown = current_brand().email_logo, message.get_body(("html",))
    if logo is not None and shown is not None:  # inside: programs ask before they load pictures from elsewhere
        shown.add_related(logo.content, "image", "png", cid=f"<{logo.cid}>", disposition="inline", filename=logo.name)


def _encoding(text: str) -> str:
    """Choose a transfer encoding: plain where possible, so that links in outbox files can be copied.

    Not every server takes 8bit (RFC 6152), and quoted-printable cuts a link in two.
    """
    if max(len(line.encode()) for line in text.split("\n")) > _LONGEST_LINE:
        return "quoted-printable"
    if text.isascii():
        return "7bit"
    return "8bit" if current_settings().smtp_url is None else "quoted-printable"


def _lifetime(link: Link) -> str:
    """How long the link works, as text: ``3 days``, ``1 hour``."""
    hours = round((link.expires_at - link.created_at).total_seconds() / 3600)
    count, unit = (hours // 24, "day") if hours > 24 and hours % 24 == 0 else (max(1, hours), "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"
