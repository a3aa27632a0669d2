"""Stream addresses: who gets one, and what each request of the stream checks again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from church.errors import ForbiddenError, UnauthorizedError
from church.extensions import db
from church.models import Rendition, Video
from church.observability.metrics import definitions
from church.services.sessions import SignedIn
from church.services.videos import check_token, count_playback, grant_address, open_rendition
from church.services.videos.errors import UnknownVideoError
from church.services.videos.streaming.playback_tokens import AccessEndedError, OtherMemberError, OtherVideoError
from tests.support.helpers import grows
from tests.support.video_fixture import add_ready

ADA = SignedIn(1, "ab12", "Ada", "ada@church.example", "member", True, 7, "cd34", token="raw")
EVE = SignedIn(2, "ef56", "Eve", "eve@church.example", "member", False, 8, "0178", token="raw")
BOSS = replace(ADA, role="admin")


@pytest.fixture
def film(at_work: Flask) -> Video:
    """A members' video at /video/harbour."""
    return add_ready(access_level="members")


@pytest.mark.parametrize(
    ("access", "viewer", "error", "words"),
    [
        ("members", None, UnauthorizedError, "Sign in"),
        ("members", EVE, ForbiddenError, "Confirm your email address"),
        ("premium", ADA, ForbiddenError, "for subscribers"),
    ],
)
def test_address_without_access_is_refused_with_the_next_step(
    at_work: Flask, access: str, viewer: SignedIn | None, error: type[Exception], words: str
) -> None:
    add_ready(access_level=access)
    with (
        grows(definitions.content_access.labels("video", access, "denied")),
        pytest.raises(error, match=words),
    ):
        grant_address("harbour", viewer)


def test_address_without_such_a_quality_is_the_best_up_to_720p_or_the_smallest(film: Video) -> None:
    def set_heights(*heights: int) -> None:
        with db.write() as session:
            session.query(Rendition).delete()
            for height in heights:
                facts = {"file": f"{height}.mp4", "bytes": 1, "width": 1, "bitrate": 1, "etag": "x"}
                session.add(Rendition(video_id=film.id, quality=f"{height}p", height=height, **facts))

    for heights, quality in (((1080, 720, 360), "720p"), ((2160, 1080), "1080p")):
        set_heights(*heights)
        assert grant_address("harbour", ADA, "9000p").rendition.quality == quality
    assert grant_address("harbour", ADA, "2160p").rendition.quality == "2160p"
    set_heights()
    with pytest.raises(UnknownVideoError):
        grant_address("harbour", ADA)


def test_token_opens_its_rendition_for_its_member(film: Video) -> None:
    granted = grant_address("harbour", ADA)
    allowed = check_token("harbour", granted.signed.token, ADA)
    assert (allowed.video.ref, allowed.rendition, allowed.playback) == (
        film.ref,
        granted.rendition,
        granted.signed.playback,
    )


def test_token_of_another_video_or_member_is_refused(film: Video) -> None:
    token = grant_address("harbour", ADA).signed.token
    add_ready("pier", access_level="members")
    with pytest.raises(OtherVideoError):
        check_token("pier", token, ADA)
    with pytest.raises(OtherMemberError):
        check_token("harbour", token, EVE)


def test_token_of_an_ended_session_is_refused(film: Video) -> None:
    token = grant_address("harbour", ADA).signed.token
    with pytest.raises(AccessEndedError):  # this session has no row
        check_token("harbour", token, None)


def test_token_of_a_removed_rendition_is_unknown(film: Video) -> None:
    token = grant_address("harbour", ADA).signed.token
    with db.write() as session:
        session.query(Rendition).delete()
    with pytest.raises(UnknownVideoError):
        check_token("harbour", token, ADA)


def test_playback_is_counted_at_its_first_request(film: Video) -> None:
    token = grant_address("harbour", ADA).signed.token
    with grows(definitions.video_streams.labels("harbour", "720p", "started")):
        for _ in range(2):
            count_playback(check_token("harbour", token, ADA))


def test_playback_of_an_admin_is_counted_apart_and_ends_with_the_role(at_work: Flask) -> None:
    add_ready(access_level="premium")
    with grows(definitions.content_access.labels("video", "premium", "admin")):
        token = grant_address("harbour", BOSS).signed.token
    with grows(definitions.video_streams.labels("harbour", "720p", "admin")):
        count_playback(check_token("harbour", token, BOSS))
    with pytest.raises(AccessEndedError):
        check_token("harbour", token, replace(BOSS, role="member"))


def test_open_rendition_has_an_etag_of_the_file_and_none_if_it_is_gone(film: Video) -> None:
    rendition = grant_address("harbour", ADA).rendition
    first = open_rendition(rendition)
    with first.file:
        assert (first.file.read(), first.size) == (b"0123456789", 10)
    rendition.path.write_bytes(b"longer than before")
    second = open_rendition(rendition)
    with second.file:
        assert second.etag != first.etag
    rendition.path.unlink()
    with pytest.raises(UnknownVideoError):
        open_rendition(rendition)
