"""Headers of emails: a name with any letters stays one mailbox, and comes back whole."""

from __future__ import annotations

from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses

import pytest

from church.services.email.headers import POLICY, set_header, write_mailbox, write_text

LONG = "Friends of the Old Library, the Reading Room and the Garden on the Hill, e.V."
NAMES = [
    "BambiSleep Church",
    LONG,
    LONG.replace("Old", "Öld"),
    "Zoë, Ö & Söhne (Berlin)",
    'A "quoted", <name>',
    "back\\slash",
    "a.b@example.org",
    "x" * 80,
    "=?utf-8?q?x?=",
    "岡本太郎の教会",
    "👩\u200d🚀 & friends; of: all",
    "Ж" * 18,
]


def parse(raw: bytes) -> EmailMessage:
    found = message_from_bytes(raw, policy=default)
    assert isinstance(found, EmailMessage)
    return found


def message_with(name: str, value: str) -> bytes:
    message = EmailMessage(policy=POLICY)
    set_header(message, name, value)
    message.set_content("Hello.\n")
    return message.as_bytes()


def decode_plainly(value: str) -> str:
    """Decode a header by RFC 2047 alone."""
    return str(make_header(decode_header(value.replace("\r\n", "").replace("\n", ""))))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("header", ["From", "Reply-To"])
def test_mailbox_with_any_name_is_one_and_keeps_it(header: str, name: str) -> None:
    raw = message_with(header, write_mailbox(name, "church@church.example"))
    (found,) = parse(raw)[header].addresses
    assert (found.display_name, found.addr_spec) == (name, "church@church.example")
    ((shown, address),) = getaddresses([message_from_bytes(raw)[header].replace("\r\n", "")])
    assert (decode_plainly(shown), address) == (name, "church@church.example")
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) < 120


@pytest.mark.parametrize("name", ["岡本太郎" * 20, "Ö " * 39 + "Ö", "👩\u200d🚀" * 26])
def test_mailbox_with_a_name_of_several_encoded_words_keeps_it(name: str) -> None:
    raw = message_with("From", write_mailbox(name, "church@church.example"))
    assert len(parse(raw)["From"].addresses) == 1
    shown = message_from_bytes(raw)["From"].rpartition("<")[0].strip()
    assert decode_plainly(shown) == name
    assert max(map(len, raw.split(b"\r\n"))) <= 78


@pytest.mark.parametrize("text", [*NAMES, "", f"{LONG} and {LONG}", "Žofie " * 40 + "x", "x" * 200])
def test_text_of_any_length_comes_back(text: str) -> None:
    raw = message_with("Subject", write_text("Subject", text))
    assert str(parse(raw)["Subject"]) == text
    assert decode_plainly(message_from_bytes(raw)["Subject"]) == text
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 78
