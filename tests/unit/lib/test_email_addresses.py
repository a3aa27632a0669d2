"""Keys of email addresses, and their form for the mail server."""

from __future__ import annotations

import pytest

from church.lib.email_addresses import make_key, needs_smtputf8, to_ascii_domain, to_wire


@pytest.mark.parametrize(
    ("email", "key"),
    [
        ("Ada.L@EXAMPLE.org", "ada.l@example.org"),
        ("straße@example.org", "straße@example.org"),
        ("STRASSE@example.org", "strasse@example.org"),
        ("STRAẞE@example.org", "straße@example.org"),
        ("Jo\u0308rg@example.org", "j\u00f6rg@example.org"),
        ("J\u00d6RG@example.org", "j\u00f6rg@example.org"),
        ("\u0130x@example.org", "i\u0307x@example.org"),
        ("x@Bücher.example", "x@xn--bcher-kva.example"),
        ("x@bu\u0308cher.example", "x@xn--bcher-kva.example"),
        ("x@XN--BCHER-KVA.example", "x@xn--bcher-kva.example"),
        ("x@straße.example", "x@xn--strae-oqa.example"),
        ("x@strasse.example", "x@strasse.example"),
        ("x@例え。テスト", "x@xn--r8jz45g.xn--zckzah"),
        ("x@☃.example", "x@☃.example"),
        ("", ""),
    ],
)
def test_key_is_one_for_each_inbox(email: str, key: str) -> None:
    assert make_key(email) == key
    assert make_key(key) == key


@pytest.mark.parametrize(
    ("email", "wire", "international"),
    [
        ("Ada.L+books@Example.org", "Ada.L+books@example.org", False),
        ("ada@bücher.example", "ada@xn--bcher-kva.example", False),
        ("jörg@example.org", "jörg@example.org", True),
        ("jörg@bücher.example", "jörg@bücher.example", True),
        ("church@[IPv6:::1]", "church@[ipv6:::1]", False),
        ("church@localhost", "church@localhost", False),
    ],
)
def test_wire_form_is_ascii_where_that_is_enough(email: str, wire: str, international: bool) -> None:
    assert (to_wire(email), needs_smtputf8(email)) == (wire, international)


@pytest.mark.parametrize(
    "email", ["", "ada", "@x.org", "a@", "a@b@c", "a b@x.org", "a@x.org\r\n", "a\u2028@x.org", "a,b@x"]
)
def test_wire_form_of_anything_else_is_refused(email: str) -> None:
    with pytest.raises(ValueError, match="not an email address"):
        to_wire(email)


def test_domain_without_a_labels_stays() -> None:
    assert to_ascii_domain("☃.Example") == "☃.example"
