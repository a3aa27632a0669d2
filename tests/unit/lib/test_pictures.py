"""Picture files that an operator chose: known by content, and harmless."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.lib.pictures import parse_picture, read_picture
from tests.support.pictures import SVG, make_jpeg, make_png

SPACE = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


@pytest.mark.parametrize(
    ("content", "kind", "size"),
    [
        (make_png(30, 7), "png", (30, 7)),
        (make_jpeg(1200, 630), "jpeg", (1200, 630)),
        (SVG.encode(), "svg", (200, 100)),
        (b"\xef\xbb\xbf<?xml version='1.0'?>" + SVG.encode(), "svg", (200, 100)),
        (f'<svg {SPACE} width="64px" height="32px"/>'.encode(), "svg", (64, 32)),
        (f'<svg {SPACE} width="100%"/>'.encode(), "svg", (100, 100)),
        (f'<svg {SPACE}><use xlink:href="#a"/><style>p{{fill:url(#b)}}</style></svg>'.encode(), "svg", (100, 100)),
    ],
)
def test_picture_is_known_by_its_content(content: bytes, kind: str, size: tuple[int, int]) -> None:
    picture = parse_picture(content)
    assert (picture.kind, (picture.width, picture.height)) == (kind, size)


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("<script>alert(1)</script>", "<script>"),
        ('<x:script xmlns:x="http://www.w3.org/2000/svg">1</x:script>', "<script>"),
        ("<foreignObject><p/></foreignObject>", "<foreignobject>"),
        ('<path onload="alert(1)"/>', "without scripts"),
        ('<a href="javascript:alert(1)"><path/></a>', "from elsewhere"),
        ('<image href="https://elsewhere.example/a.png"/>', "from elsewhere"),
        ('<image xlink:href="data:image/svg+xml,x"/>', "from elsewhere"),
        ("<style>@import 'https://elsewhere.example/a.css'</style>", "from elsewhere"),
        ("<style>p { fill: url( 'https://elsewhere.example/a') }</style>", "from elsewhere"),
        ('<path style="fill:url(//elsewhere.example/a)"/>', "from elsewhere"),
    ],
)
def test_svg_that_runs_or_loads_something_is_refused(inside: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_picture(f"<svg {SPACE}>{inside}</svg>".encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "none of these"),
        (b"GIF89a", "none of these"),
        (b"<html/>", "another kind"),
        (f'<svg {SPACE} viewBox="0 0 1{"0" * 400} 1"/>'.encode(), "it is longer"),
        (f'<svg {SPACE} width="1{"0" * 400}"/>'.encode(), "it is longer"),
        (b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>", "without entities"),
        (make_png(1, 1)[:20], "cut short"),
        (make_jpeg(1, 1)[:20], "cut short"),
        (make_png(0, 5), "0 by 5"),
        (make_png(9000, 1), "9000 by 1"),
    ],
)
def test_file_that_is_no_usable_picture_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_picture(content)


def test_file_missing_too_large_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    with pytest.raises(ValueError, match="SVG or PNG file of at most 1 KiB; there is no such file"):
        read_picture(path, ("svg", "png"), 1024)
    path.write_bytes(make_png(2, 2) + bytes(2000))
    with pytest.raises(ValueError, match="it has 2,0"):
        read_picture(path, ("svg", "png"), 1024)
    path.write_bytes(make_jpeg(2, 2))
    with pytest.raises(ValueError, match="it is JPEG"):
        read_picture(path, ("svg", "png"), 1024)
