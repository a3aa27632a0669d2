"""What a mail says and how it is addressed: nothing that people typed gets out of its place."""

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
from church.models.accounts import Link, Purpose
from church.models.base import utc_now
from church.services.email import compose
from church.services.email.compose import LINKED, TEMPLATES, Letter, one_line, write
from church.services.email.errors import MailRefusedError
from church.services.email_links import address_of
from tests.support.helpers import with_settings

WORDS = {
    "payment_failed": {"plan": "Patron", "amount": "$12.00", "until": "30 November 2026"},
    "trial_ending": {"plan": "Patron", "day": "30 November 2026", "price": "$12.00 a month"},
    "membership_ended": {"plan": "Patron", "premium": False},
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


def letter(template: str = "password_changed", **changes: object) -> Letter:
    link = link_for(template) if template in LINKED else None
    words = WORDS.get(template, {})
    found = Letter(5, template, "ada@example.org", "", words, link, datetime.fromisoformat("2026-01-02T03:04:05+00:00"))
    return replace(found, **changes)  # type: ignore[arg-type]


def sent(message: EmailMessage) -> EmailMessage:
    """The message as it arrives."""
    found = message_from_bytes(message.as_bytes(), policy=default)
    assert isinstance(found, EmailMessage)
    return found


def part(message: EmailMessage, kind: str) -> str:
    body = sent(message).get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_mail_has_the_headers_that_other_programs_look_for() -> None:
    message = sent(write(letter()))
    assert str(message["From"]) == "BambiSleep Church <church@church.example>"
    assert str(message["To"]) == "ada@example.org"
    assert str(message["Subject"]) == "Your password was changed"
    assert message["Auto-Submitted"] == "auto-generated"
    assert abs(message["Date"].datetime - utc_now()) < timedelta(minutes=1)
    assert message.get_content_type() == "multipart/alternative"
    assert [piece.get_content_type() for piece in message.iter_parts()] == ["text/plain", "text/html"]


def test_message_id_stays_at_every_attempt_and_is_no_other_mails() -> None:
    first, again, other = (write(letter(id=number))["Message-ID"] for number in (5, 5, 6))
    assert first == again != other
    assert first.endswith("@church.example>")


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_both_parts_of_every_mail_say_the_same_way_in(template: str) -> None:
    message = write(letter(template))
    text, page = part(message, "plain"), part(message, "html")
    wanted = [line for line in text.splitlines() if line.startswith("https://church.example/")]
    assert wanted or template == "account_deleted"
    for address in wanted:
        assert urlsplit(address).path.startswith(("/auth/", "/stripe/pricing"))
        assert f'href="{address}"' in page
    assert all(len(line) <= 72 or line in wanted for line in text.splitlines())
    assert str(message["Subject"]) in page


@pytest.mark.parametrize("template", sorted(LINKED))
def test_mail_with_a_link_brings_it_whole_by_the_sites_own_address(template: str) -> None:
    one = letter(template, name="Žofie")
    assert one.link is not None
    address = address_of(one.link)
    assert address.startswith("https://church.example/auth/")
    message = write(one)
    assert address in part(message, "plain").splitlines()
    assert address.encode() in message.as_bytes()  # as it is, for whoever opens the file


@pytest.mark.parametrize(
    ("hours", "said"), [(1, "1 hour"), (24, "24 hours"), (72, "3 days"), (48, "2 days"), (36, "36 hours")]
)
def test_mail_says_how_long_its_link_is_good(hours: float, said: str) -> None:
    message = write(letter("verify", link=link_for("verify", hours)))
    assert f"expires in {said}." in part(message, "plain")
    assert f"expires in {said}." in part(message, "html")


def test_name_is_greeted_on_one_line_and_is_no_html() -> None:
    message = write(letter(name="Ada\r\nBcc: all@example.org <b>x</b>"))
    assert part(message, "plain").startswith("Hello Ada Bcc: all@example.org <b>x</b>,")
    assert "<b>" not in part(message, "html")
    assert message["Bcc"] is None


@pytest.mark.parametrize("name", ["Zoë", "ada ⛪", "=?utf-8?q?x?="])
def test_name_of_any_letters_arrives_as_it_is(app: Flask, name: str) -> None:
    have_server(app)
    message = write(letter(name=name))
    message.as_bytes().decode("ascii")
    assert part(message, "plain").startswith(f"Hello {name},")


@pytest.mark.parametrize("site_name", ["Chürch\r\nBcc: all@example.org", 'A "quoted", <name>', "x" * 80])
def test_site_name_can_not_leave_its_header(app: Flask, site_name: str) -> None:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], site_name=site_name)
    message = sent(write(letter()))
    assert message["Bcc"] is None
    assert message["From"].addresses[0].addr_spec == "church@church.example"
    assert message["From"].addresses[0].display_name == one_line(site_name)


@pytest.mark.parametrize(
    "recipient",
    ["ada@example.org\r\nBcc: all@example.org", "ada@example.org, eve@example.org", "ada", "", "@", "a@b@c"],
)
def test_recipient_that_is_no_address_is_refused_without_being_named(recipient: str) -> None:
    with pytest.raises(MailRefusedError, match="not a valid email address") as caught:
        write(letter(recipient=recipient))
    assert "example" not in str(caught.value)


def test_mail_to_a_server_is_encoded_and_to_the_outbox_only_where_a_line_is_too_long(app: Flask) -> None:
    assert compose._encoding("ö" * 901) == compose._encoding("x" * 901) == "quoted-printable"
    assert compose._encoding("x" * 900 + "\n" + "y") == "7bit"
    assert compose._encoding("ö") == "8bit"
    have_server(app)
    assert compose._encoding("ö") == "quoted-printable"
    assert compose._encoding("x") == "7bit"


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_page_of_a_mail_loads_nothing_and_knows_both_themes(template: str) -> None:
    page = part(write(letter(template)), "html")
    assert not [word for word in ("<img", "<script", "<link", "url(", "<table") if word in page]
    assert 'name="color-scheme" content="light dark"' in page
    assert "prefers-color-scheme: dark" in page
