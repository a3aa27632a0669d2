"""How text is decoded before it is scanned."""

from __future__ import annotations

import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.observability.threats.decoded_text import END, add_readings, decode_text, read_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", b"plain"),
        ("%41%62c", b"Abc"),
        ("%2541", b"A"),
        ("%252541", b"A"),
        ("%2525252541", b"A"),
        ("%252525252541", b"%41"),
        ("100% of a=b, %zz, %4", b"100% of a=b, %zz, %4"),
        ("a%3Db%3dc=d", b"a=b=c=d"),
        ("%u0041%U0042", b"AB"),
        ("50%\r\nmore%\nlines", b"50%\r\nmore%\nlines"),
        ("%c0%ae%c0%ae%c0%af", b"../"),
        ("%e0%80%af", b"/"),
        ("+", b"+"),
        ("\ud800", b"\xed\xa0\x80"),
    ],
)
def test_canonical_decodes_percent_encoding(text: str, expected: bytes) -> None:
    assert decode_text(text) == expected


def test_canonical_with_plus_reads_it_as_space_unless_encoded() -> None:
    assert decode_text("a+b%2Bc", plus=True) == b"a b+c"


@pytest.mark.parametrize(
    ("data", "view"),
    [
        (b"&lt;b&gt;", b"<b>"),
        (b"&#60;&#x3C;&#0000060", b"<<<"),
        (rb"\x3c\u003c\u{3c}", b"<<"),
        (rb"\074script\076", b"<script>"),
        (rb"\163\143ript\012", b"script"),
        ("\uff1c\u2215".encode(), b"</"),
        (b"sel/* a */ect/*!50000 from*/x", b"sel ect  from x"),
        (b"open /* for ever", b"open   for ever"),
        (b"ja\tva\0script", b"javascript"),
        (b"w'h\"o\\am^i", b"whoami"),
        (b"\x1fc2VsZWN0IDEgZnJvbSBh\x1e", b"select 1 from a"),
    ],
)
def test_views_contain_the_decoded_reading(data: bytes, view: bytes) -> None:
    first, *others = add_readings(data).split(END)
    assert first == data.split(END)[0]
    assert any(view in other for other in others)


def test_views_of_plain_text_are_the_text_alone() -> None:
    assert add_readings(b"nothing to see here") == b"nothing to see here"


def test_base64_of_binary_data_is_not_a_view() -> None:
    key = b"\x1fq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ\x1e"
    assert add_readings(key) == key


@given(st.text(), st.booleans())
def test_canonical_and_views_never_raise(text: str, plus: bool) -> None:
    data = decode_text(text, plus=plus)
    assert add_readings(data).startswith(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain text\r\n\twith blanks", "plain text\r\n\twith blanks"),
        ("l'\u00e9t\u00e9, \u5fc5\u9808".encode(), "l'\u00e9t\u00e9, \u5fc5\u9808"),
        (b"l'\xe9t\xe9 en latin-1", "l'\ufffdt\ufffd en latin-1"),
        (b"text with one odd byte \xff", "text with one odd byte \ufffd"),
        ("<!DOCTYPE a>".encode("utf-16"), "<!DOCTYPE a>"),
        ("<!DOCTYPE a>".encode("utf-16-le"), "<!DOCTYPE a>"),
        ("<!DOCTYPE a>".encode("utf-16-be"), "<!DOCTYPE a>"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\xff\xfe\x9c\x8d", ""),
        (gzip.compress(b"<script>alert(1)</script>" * 9, mtime=0), ""),
    ],
)
def test_read_text_decodes_text_and_gives_nothing_for_binary_data(data: bytes, text: str) -> None:
    assert read_text(data) == text


def test_read_text_of_random_bytes_gives_nothing() -> None:
    source = random.Random(7)
    assert [read_text(source.randbytes(size)) for size in range(64, 8_000, 400)] == [""] * 20


@given(st.binary(max_size=400))
def test_read_text_never_raises(data: bytes) -> None:
    read_text(data).encode("utf-8")
