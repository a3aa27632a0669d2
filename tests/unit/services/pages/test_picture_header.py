"""Type and size of pictures, read from their first bytes."""

from __future__ import annotations

import io

import pytest

from church.services.pages.pictures.header import PictureHeader, read_header
from tests.support.picture_bytes import avif, gif, jpeg, webp
from tests.support.pictures import make_png

SVG = b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a > b -->\n<!DOCTYPE svg>\n<svg xmlns="x" width="30px" height=\'20.4\'>'


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (make_png(300, 200), PictureHeader("image/png", 300, 200)),
        (gif(300, 200), PictureHeader("image/gif", 300, 200)),
        (jpeg(300, 200), PictureHeader("image/jpeg", 300, 200)),
        (jpeg(300, 200, orientation=3), PictureHeader("image/jpeg", 300, 200)),
        (jpeg(300, 200, orientation=6), PictureHeader("image/jpeg", 200, 300)),
        (webp(b"VP8 ", 300, 200), PictureHeader("image/webp", 300, 200)),
        (webp(b"VP8L", 300, 200), PictureHeader("image/webp", 300, 200)),
        (webp(b"VP8X", 300, 200), PictureHeader("image/webp", 300, 200)),
        (avif(300, 200), PictureHeader("image/avif", 300, 200)),
        (avif(300, 200, turned=True), PictureHeader("image/avif", 200, 300)),
        (SVG, PictureHeader("image/svg+xml", 30, 20)),
        (b'<svg viewBox="0 0 60,40" width="100%">', PictureHeader("image/svg+xml", 60, 40)),
        (b"<svg>", PictureHeader("image/svg+xml")),
        (b"<!-- a -->\n" * 2000 + b"<svg>", PictureHeader("image/svg+xml")),
    ],
)
def test_header_of_each_kind_has_type_and_size_as_shown(data: bytes, header: PictureHeader) -> None:
    assert read_header(io.BytesIO(data)) == header


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><svg width='1' height='1'>",
        b"<!---->" * 2000,  # could be one comment or any number
        b"<script>alert(1)</script>",
        b"%PDF-1.7",
        b"\0\0\0\x1cftypheic" + bytes(40),
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\x89PNG\r\n\x1a\n\0\0\0\rJUNK",
        make_png(2, 1)[:18],
        jpeg(3, 2)[:-18],
        b"\xff\xd8\xff\xe0\0\0" + bytes(40),
        b"<!--" * 1000,
    ],
)
def test_header_of_anything_else_is_none(data: bytes) -> None:
    assert read_header(io.BytesIO(data)) is None
