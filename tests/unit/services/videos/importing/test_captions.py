"""Captions: adding, replacing and removing them, and files that are not WebVTT."""

from __future__ import annotations

import pytest
from flask import Flask

from church.errors import FieldErrors
from church.services import videos
from church.services.audit import Actor
from church.services.videos.errors import UnknownVideoError
from tests.support.video_fixture import add_ready

CLI = Actor(via="cli")
VTT = b"\xef\xbb\xbfWEBVTT\r\n\r\n00:01.000 --> 00:02.000\r\nAhoy\r\n"


def test_captions_can_be_replaced_and_removed(at_work: Flask) -> None:
    video = add_ready()
    videos.add_caption(video.ref, "en", "English", VTT, CLI, default=True)
    videos.add_caption(video.ref, "pt-BR", "", VTT, CLI, default=True)
    videos.add_caption(video.ref, "en", "English", VTT.replace(b"Ahoy", b"Hello"), CLI)
    found = videos.load_for_admin(video.ref).captions
    assert [(one.language, one.label, one.is_default) for one in found] == [
        ("en", "English", False),
        ("pt-BR", "pt-BR", True),
    ]
    assert found[0].path.read_bytes() == b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"
    videos.remove_caption(video.ref, "en", CLI)
    assert not found[0].path.exists()
    with pytest.raises(UnknownVideoError):
        videos.remove_caption(video.ref, "en", CLI)


@pytest.mark.parametrize(
    ("language", "data", "field"),
    [
        ("../x", VTT, "language"),
        ("EN", VTT, "language"),
        ("en", b"WEBVTTX\n\n00:01.000 --> 00:02.000\n", "file"),
        ("en", b"WEBVTT\n\nno times", "file"),
        ("en", b"WEBVTT\n\n00:01.000 --> 00:02.000\n\xff", "file"),
        ("en", b"\xff\xfeW", "file"),
        ("en", VTT + b"x" * 2**21, "file"),
    ],
)
def test_captions_invalid_are_rejected(at_work: Flask, language: str, data: bytes, field: str) -> None:
    with pytest.raises(FieldErrors) as caught:
        videos.add_caption(add_ready().ref, language, "", data, CLI)
    assert list(caught.value.errors) == [field]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_captions_of_other_editors_are_read(encoding: str) -> None:
    subrip = "1\r\n00:00:01,000 --> 00:00:02,000\r\nÅhøy\r\n".encode(encoding)
    expected = "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\nÅhøy\n"
    assert videos.parse_caption("en", "English", subrip) == expected


def test_captions_only_the_last_default_is_on(at_work: Flask) -> None:
    video = add_ready()
    for language in ("en", "de"):
        videos.add_caption(video.ref, language, "", VTT, CLI, default=True)
    found = videos.load_for_admin(video.ref).captions
    assert [(one.language, one.is_default) for one in found] == [("de", True), ("en", False)]
