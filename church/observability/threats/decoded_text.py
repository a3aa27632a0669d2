"""Decode text before it is scanned, so that encoding does not hide an attack.

A text becomes bytes without percent-encoding (in a bounded number of rounds), overlong UTF-8, HTML entities, escapes of
JavaScript and C, comments and shell quoting. Where a decoding is ambiguous, both readings are kept as *views*, one
behind the other. Every step is a whole-buffer operation in C: the cost is linear in the length, the same for hostile
and ordinary texts.
"""

from __future__ import annotations

import binascii
import codecs
import re
from typing import Final

PERCENT_ROUNDS: Final = 5
"""Nested percent-encodings that are decoded (%252527 is three deep)."""

START: Final = b"\x1f"
"""Comes before each value, so that patterns can match the start of a value."""

END: Final = b"\x1e"
"""Comes after each value, and before a name."""

_EQUALS: Final = b"\x0e"
_ENTITY_LIMIT: Final = 2000
_OCTAL_LIMIT: Final = 2000
_COMMENT_LIMIT: Final = 500

# Two- and three-byte forms of ASCII that a strict UTF-8 decoder refuses and a lax one reads as `.`, `/`, `\`, `<`, ...
_OVERLONG: Final = (
    *(
        (prefix + bytes([0x80 | (code & 0x3F)]), bytes([code]))
        for code in b"./\\<>'\"();="
        for prefix in (bytes([0xC0 | code >> 6]), bytes([0xE0, 0x80 | code >> 6]))
    ),
    *((b"\xc0.", b"."), (b"\xc0/", b"/"), (b"\xc0\\", b"/"), (b"\xc1\x1c", b"\\")),
)

# Characters that fold to ASCII in a careless conversion: fullwidth forms, quotation marks, division slashes, and the
# CJK ones whose low byte is CR, LF, < or >.
_FOLDED: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x2018: 0x27, 0x2019: 0x27, 0x02BC: 0x27, 0x201C: 0x22, 0x201D: 0x22, 0x2032: 0x27, 0x2044: 0x2F,
    0x2215: 0x2F, 0x2216: 0x5C, 0x560A: 0x0A, 0x560D: 0x0D, 0x563C: 0x3C, 0x563E: 0x3E, 0xFE64: 0x3C, 0xFE65: 0x3E,
}  # fmt: skip

_FOLDABLE: Final = re.compile(f"[{''.join(map(chr, _FOLDED))}]")

_NAMED: Final = tuple(
    (b"&" + name + b";", value)
    for name, value in (
        (b"lt", b"<"), (b"LT", b"<"), (b"gt", b">"), (b"GT", b">"), (b"quot", b'"'), (b"apos", b"'"), (b"lpar", b"("),
        (b"rpar", b")"), (b"Tab", b""), (b"tab", b""), (b"NewLine", b""),
        (b"newline", b""), (b"colon", b":"), (b"sol", b"/"), (b"bsol", b"\\"),
        (b"grave", b"`"), (b"lbrace", b"{"), (b"rbrace", b"}"), (b"semi", b";"), (b"equals", b"="), (b"nbsp", b" "),
        (b"amp", b"&"),
    )
)  # fmt: skip

_NUMERIC: Final = re.compile(rb"&#(?:0{0,8}([1-9][0-9]{0,5})|[xX]0{0,8}([0-9a-fA-F]{1,5}));?")
_OCTAL: Final = re.compile(rb"\\([01][0-7]{2})")
_PERCENT_U: Final = re.compile(rb"%[uU]00(?=[0-9a-fA-F]{2})")
_BASE64: Final = re.compile(rb"\x1f([A-Za-z0-9+/_-]{16,4096}={0,2})(?=\x1e)")
_BASE64_LIMIT: Final = 20
_READABLE: Final = bytes(range(0x20, 0x7F)) + b"\t\r\n"
_INVISIBLE: Final = bytes(set(range(0x20)) - set(START + END)) + b"\x7f"
_QUOTING: Final = b"'\"\\^[]+"
_CONTROLS: Final = bytes(set(range(0x20)) - set(b"\t\n\f\r\x1b")) + b"\x7f"
_REPLACED: Final = "\ufffd".encode()


def read_text(data: bytes) -> str:
    """Decode the text in `data`, which is UTF-8 or UTF-16; of bytes that are mostly no text, return nothing.

    Images, archives and random bytes hold every short pattern by chance.
    """
    text = data.decode(_encoding(data), "replace")
    plain = text.encode("utf-8", "replace")
    unreadable = len(plain) - len(plain.translate(None, _CONTROLS)) + plain.count(_REPLACED)
    return "" if 4 * unreadable > len(text) else text


def _encoding(data: bytes) -> str:
    """UTF-16 where a byte order mark or zeros between the letters show it, else UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if 3 * data[1::2].count(0) > len(data):
        return "utf-16-le"
    return "utf-16-be" if 3 * data[::2].count(0) > len(data) else "utf-8"


def decode_text(text: str, *, plus: bool = False) -> bytes:
    """Return `text` as bytes without percent-encoding and overlong UTF-8; `plus`: a + is a space. Never raises."""
    data = text.encode("utf-8", "surrogatepass")
    if plus and b"+" in data:
        data = data.replace(b"+", b" ")
    if b"%" in data:
        for _ in range(PERCENT_ROUNDS):
            before = data
            data = _unpercent(data)
            if data == before:
                break
    if not data.isascii() and (b"\xc0" in data or b"\xc1" in data or b"\xe0\x80" in data or b"\xe0\x81" in data):
        for overlong, plain in _OVERLONG:
            data = data.replace(overlong, plain)
    return data


def add_readings(data: bytes) -> bytes:
    """Return `data` followed by its other readings, each only where it differs from those before it."""
    seen = [data]
    decoded = _decode_markup(data)
    if decoded != data:
        seen.append(decoded)
    visible = _without_comments(decoded)
    if visible is not decoded:
        seen.append(visible)
    bare = visible.translate(None, _INVISIBLE)
    if len(bare) != len(visible):
        seen.append(bare)
    for word in _BASE64.findall(data)[:_BASE64_LIMIT]:
        wrapped = _from_base64(word)
        if wrapped:
            seen.append(START + wrapped)
    unquoted = bare.translate(None, _QUOTING)
    if len(unquoted) != len(bare):
        seen.append(unquoted.replace(b"$@", b"").replace(b"$*", b"").replace(b"$$", b""))
    return END.join(seen)


def _unpercent(data: bytes) -> bytes:
    """Decode one round of percent-encoding in C: quoted-printable is the same with = for %.

    A lone % stays as it is. `%` before a line break is protected, since there it would mean a soft line break.
    """
    if b"%u" in data or b"%U" in data:
        data = _PERCENT_U.sub(b"%", data)
    data = data.replace(b"=", _EQUALS).replace(b"%3D", _EQUALS).replace(b"%3d", _EQUALS)
    data = data.replace(b"%\r", b"%25\r").replace(b"%\n", b"%25\n").replace(b"%", b"=")
    return binascii.a2b_qp(data).replace(b"=", b"%").replace(_EQUALS, b"=")


def _decode_markup(data: bytes) -> bytes:
    r"""Decode HTML entities, escapes (\x3c, \u003c, \u{3c}, \074) and characters that fold to ASCII."""
    if b"&" in data and b";" in data:
        for name, value in _NAMED:
            data = data.replace(name, value)
    if b"&#" in data:
        data = _NUMERIC.sub(_entity, data, count=_ENTITY_LIMIT)
    if b"\\x" in data or b"\\u" in data:
        data = data.replace(b"\\x", b"%").replace(b"\\u00", b"%").replace(b"\\u{", b"%")
        data = _unpercent(data)
    if b"\\0" in data or b"\\1" in data:
        data = _OCTAL.sub(_octal, data, count=_OCTAL_LIMIT)
    if not data.isascii():
        text = data.decode("utf-8", "replace")
        if _FOLDABLE.search(text):
            data = text.translate(_FOLDED).encode("utf-8")
    return data


def _entity(match: re.Match[bytes]) -> bytes:
    code = int(match[1]) if match[1] else int(match[2], 16)
    return b"" if code in (9, 10, 13) or code > 0x10FFFF else chr(code).encode("utf-8", "surrogatepass")


def _octal(match: re.Match[bytes]) -> bytes:
    code = int(match[1], 8)
    return bytes([code]) if code >= 0x20 else b""


def _from_base64(word: bytes) -> bytes:
    """Decode a base64 word; returns nothing unless it is plain text, since most such words are keys."""
    padded = word.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        decoded = binascii.a2b_base64(padded + b"=" * (-len(padded) % 4))
    except binascii.Error:
        return b""
    return b"" if decoded.translate(None, _READABLE) else decoded


def _without_comments(data: bytes) -> bytes:
    """Replace each /* comment */ by a space; the inside of MySQL's /*!50000 … */ stays, since it is executed."""
    if b"/*" not in data:
        return data
    first, *rest = data.split(b"/*", _COMMENT_LIMIT)
    kept = [first]
    for piece in rest:
        comment, closed, after = piece.partition(b"*/")
        if comment.startswith(b"!"):
            kept.append(comment[1:].lstrip(b"0123456789"))
        kept.append(after if closed else comment)
    return b" ".join(kept)
