"""Text and headers of emails; nothing that people typed can break out of its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from pydantic import SecretStr

from church.config import Settings, load_settings
from church.lib.text import one_line
from church.models.accounts import Link, Purpose
from church.models.base import utc_now
from church.services.email import compose
from church.services.email.compose import LINKED, TEMPLATES, EmailToSend, compose_message
from church.services.email.errors import MailRefusedError
from church.services.email_links import link_address
from tests.support.helpers import with_settings

ERRORS = [
    {"error_type": "LookupError", "place": "church/services/pages/render.py:render", "is_back": False},
    {"error_type": "TimeoutError", "place": "", "is_back": True},
]
CONTEXTS = {
    "payment_failed": {"plan": "Patron", "amount": "$12.00", "until": "30 November 2026"},
    "trial_ending": {"plan": "Patron", "day": "30 November 2026", "price": "$12.00"},
    "membership_ended": {"plan": "Patron", "premium": False},
    "welcome": {"plan": "Patron", "trial": "", "ends": "", "price": "$12.00"},
    "membership_cancelled": {"plan": "Patron", "until": "30 November 2026", "another": False},
    "invoice_open": {"plan": "Patron", "amount": "$12.00", "until": "30 November 2026"},
    "renewal_ahead": {"plan": "Patron", "day": "30 November 2026", "price": "$120.00", "by_hand": False},
    "pass_given": {"until": "30 November 2026"},
    "pass_ending": {"until": "30 November 2026"},
    "new_reports": {"count": 2, "rooms": "Open and Premium"},
    "new_errors": {"count": 2, "errors": ERRORS},
}
PURPOSES = {
    "verify": Purpose.VERIFY,
    "reset": Purpose.RESET,
    "change_email": Purpose.CHANGE_EMAIL,
    "invited": Purpose.RESET,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    places = {"CHURCH_INSTANCE": tmp_path / "instance", "CHURCH_LOG_DIR": tmp_path / "logs"}
    return load_settings(CHURCH_SITE_URL="https://church.example", **places)


@pytest.fixture(autouse=True)
def _site(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def have_server(app: Flask) -> None:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], smtp_url=SecretStr("smtp://127.0.0.1:25"))


def link_for(template: str, hours: float = 72) -> Link:
    now = utc_now()
    return Link(
        id=17, nonce="ab" * 16, purpose=PURPOSES[template], created_at=now, expires_at=now + timedelta(hours=hours)
    )


def letter(template: str = "password_changed", **changes: object) -> EmailToSend:
    link = link_for(template) if template in LINKED else None
    context = CONTEXTS.get(template, {})
    found = EmailToSend(
        5, template, "ada@example.org", "", context, link, datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def sent(message: EmailMessage) -> EmailMessage:
    """The message as the recipient parses it."""
    found = message_from_bytes(message.as_bytes(), policy=default)
    assert isinstance(found, EmailMessage)
    return found


def part(message: EmailMessage, kind: str) -> str:
    body = sent(message).get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_email_has_the_usual_headers() -> None:
    message = sent(compose_message(letter()))
    assert str(message["From"]) == "BambiSleep Church <church@church.example>"
    assert str(message["To"]) == "ada@example.org"
    assert str(message["Subject"]) == "Your password was changed"
    assert message["Auto-Submitted"] == "auto-generated"
    assert abs(message["Date"].datetime - utc_now()) < timedelta(minutes=1)
    assert message.get_content_type() == "multipart/alternative"
    assert [piece.get_content_type() for piece in message.iter_parts()] == ["text/plain", "text/html"]


def test_message_id_is_stable_and_unique() -> None:
    first, again, other = (compose_message(letter(id=number))["Message-ID"] for number in (5, 5, 6))
    assert first == again != other
    assert first.endswith("@church.example>")


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_email_parts_have_the_same_links(template: str) -> None:
    message = compose_message(letter(template))
    text, page = part(message, "plain"), part(message, "html")
    wanted = [line for line in text.splitlines() if line.startswith("https://church.example/")]
    assert wanted or template == "account_deleted"
    for address in wanted:
        assert urlsplit(address).path.startswith(("/auth/", "/stripe/pricing", "/admin/live", "/admin/errors"))
        assert f'href="{address}"' in page
    assert all(len(line) <= 72 or line in wanted for line in text.splitlines())
    assert str(message["Subject"]) in page


@pytest.mark.parametrize("template", sorted(LINKED))
def test_email_link_is_whole_and_on_the_site(template: str) -> None:
    one = letter(template, name="Žofie")
    assert one.link is not None
    address = link_address(one.link)
    assert address.startswith("https://church.example/auth/")
    message = compose_message(one)
    assert address in part(message, "plain").splitlines()
    assert address.encode() in message.as_bytes()  # unencoded, so that it can be copied from the file


@pytest.mark.parametrize(
    ("hours", "text"), [(1, "1 hour"), (24, "24 hours"), (72, "3 days"), (48, "2 days"), (36, "36 hours")]
)
def test_email_shows_the_lifetime_of_its_link(hours: float, text: str) -> None:
    message = compose_message(letter("verify", link=link_for("verify", hours)))
    assert f"expires in {text}." in part(message, "plain")
    assert f"expires in {text}." in part(message, "html")


def test_greeting_is_one_line_and_escaped() -> None:
    message = compose_message(letter(name="Ada\r\nBcc: all@example.org <b>x</b>"))
    assert part(message, "plain").startswith("Hello Ada Bcc: all@example.org <b>x</b>,")
    assert "<b>" not in part(message, "html")
    assert message["Bcc"] is None


@pytest.mark.parametrize("name", ["Zoë", "ada ⛪", "=?utf-8?q?x?="])
def test_greeting_keeps_non_ascii_names(app: Flask, name: str) -> None:
    have_server(app)
    message = compose_message(letter(name=name))
    message.as_bytes().decode("ascii")
    assert part(message, "plain").startswith(f"Hello {name},")


@pytest.mark.parametrize(
    "site_name",
    [
        "Chürch\r\nBcc: all@example.org",
        'A "quoted", <name>',
        "x" * 80,
        "Friends of the Old Library, the Reading Room and the Garden on the Hill, e.V.",
        "Freunde der alten Bücherei, des Lesesaals und des Gartens auf dem Hügel, e.V.",
    ],
)
def test_site_name_cannot_inject_headers(app: Flask, site_name: str) -> None:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], site_name=site_name)
    message = sent(compose_message(letter()))
    assert message["Bcc"] is None
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (one_line(site_name), "church@church.example")


@pytest.mark.parametrize(
    "recipient",
    [
        "ada@example.org\r\nBcc: all@example.org",
        "ada@example.org, eve@example.org",
        "ada",
        "",
        "@",
        "a@b@c",
        "jörg\r\nBcc: all@example.org",
        "jörg\u2028@example.org",
        "ada@bücher.example\nBcc: x",
        "a b@example.org",
        "ada@example.org>",
        "<jörg@example.org",
        "ada@exa mple.org",
        "ada@ ",
        "jörg\x85@example.org",
    ],
)
def test_recipient_invalid_is_refused_without_naming_it(recipient: str) -> None:
    with pytest.raises(MailRefusedError, match="not a valid email address") as caught:
        compose_message(letter(recipient=recipient))
    assert "example" not in str(caught.value)


@pytest.mark.parametrize(
    ("recipient", "header"),
    [
        ("anna@bücher.example.org", "anna@xn--bcher-kva.example.org"),
        ("x@straße.example", "x@xn--strae-oqa.example"),
        ("jörg@example.org", "jörg@example.org"),
        ("jörg@bücher.example", "jörg@bücher.example"),
    ],
)
def test_recipient_outside_ascii_is_written_as_servers_take_it(recipient: str, header: str) -> None:
    message = compose_message(letter(recipient=recipient))
    raw = message.as_bytes()
    assert f"\r\nTo: {header}\r\n".encode() in raw
    assert raw.partition(b"\r\n\r\n")[0].isascii() is header.isascii()
    assert message.policy.utf8 is not header.isascii()  # type: ignore[attr-defined]


def test_sender_with_a_non_ascii_domain_is_ascii_in_all_headers(app: Flask) -> None:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], mail_from="church@bücher.example")
    message = sent(compose_message(letter()))
    assert message["From"].addresses[0].addr_spec == "church@xn--bcher-kva.example"
    assert message["Message-ID"].endswith("@xn--bcher-kva.example>")


def test_email_encoding_for_server_and_outbox(app: Flask) -> None:
    assert compose._encoding("ö" * 901) == compose._encoding("x" * 901) == "quoted-printable"
    assert compose._encoding("x" * 900 + "\n" + "y") == "7bit"
    assert compose._encoding("ö") == "8bit"
    have_server(app)
    assert compose._encoding("ö") == "quoted-printable"
    assert compose._encoding("x") == "7bit"


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_email_html_loads_nothing_and_supports_both_themes(template: str) -> None:
    page = part(compose_message(letter(template)), "html")
    assert not [word for word in ("<img", "<script", "<link", "url(", "<table") if word in page]
    assert 'name="color-scheme" content="light dark"' in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize(
    ("template", "changes", "subject", "words"),
    [
        ("welcome", {}, "Your Patron subscription has started", "you cancel. The next payment is $12.00."),
        (
            "welcome",
            {"trial": "3 May 2027"},
            "Your Patron trial has started",
            "ends on 3 May 2027. The first payment is then $12.00.",
        ),
        (
            "welcome",
            {"ends": "3 May 2027"},
            "Your Patron subscription has started",
            "ends on 3 May 2027 and does",
        ),
        ("membership_cancelled", {}, "Your subscription is cancelled", "keep premium access until 30 November 2026"),
        (
            "membership_cancelled",
            {"another": True},
            "Your subscription is cancelled",
            "Your other subscription goes on",
        ),
        ("invoice_open", {}, "Your invoice is open", "invoice of $12.00 for Patron"),
        (
            "renewal_ahead",
            {},
            "Your subscription renews soon",
            "renews on 30 November 2026. The payment is $120.00.",
        ),
        ("renewal_ahead", {}, "Your subscription renews soon", "To keep it, do nothing."),
        (
            "renewal_ahead",
            {"by_hand": True},
            "Your subscription renews soon",
            "To keep it, pay the invoice that you will get.",
        ),
        ("pass_given", {}, "You have premium access until 30 November 2026", "It costs nothing"),
        ("pass_ending", {}, "Your premium access ends soon", "ends on 30 November 2026. Nothing is charged"),
        ("pass_ended", {}, "Your premium access has ended", "You keep your account"),
        (
            "new_reports",
            {},
            "2 new reports of chat messages",
            "2 reports of chat messages at BambiSleep Church in O",
        ),
        ("new_reports", {"count": 1, "rooms": ""}, "A chat message was reported", "A member reported a chat message"),
        ("new_errors", {}, "2 errors are new or back", "These errors occurred at BambiSleep Church"),
        ("new_errors", {"count": 1}, "A new error: LookupError", "This error occurred at BambiSleep Church"),
        ("new_errors", {"count": 9, "errors": ERRORS[1:]}, "9 errors are new or back", "And 8 more."),
        (
            "new_errors",
            {"count": 1, "errors": ERRORS[1:]},
            "An error is back: TimeoutError",
            "in an unknown place (back after it was resolved)",
        ),
    ],
)
def test_email_says_what_happened_in_both_parts(
    template: str, changes: dict[str, object], subject: str, words: str
) -> None:
    message = compose_message(letter(template, context={**CONTEXTS.get(template, {}), **changes}))
    assert str(sent(message)["Subject"]) == subject
    assert words in " ".join(part(message, "plain").split())
    assert words in " ".join(part(message, "html").split())


@pytest.mark.parametrize("template", ["pass_ending", "pass_ended"])
@pytest.mark.parametrize("payments", [True, False])
def test_end_of_complimentary_premium_names_plans_only_where_they_are_sold(
    app: Flask, monkeypatch: pytest.MonkeyPatch, template: str, payments: bool
) -> None:
    monkeypatch.setitem(app.jinja_env.globals, "payments_enabled", payments)
    message = compose_message(letter(template))
    assert [("subscribe" in part(message, kind)) for kind in ("plain", "html")] == [payments, payments]
