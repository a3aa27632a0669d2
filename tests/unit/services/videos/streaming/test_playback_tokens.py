"""Tokens of stream addresses: what they contain, when they expire, and forged ones."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from pydantic import SecretStr

from church.config import current_settings
from church.observability.metrics import definitions
from church.services.sessions import SignedIn
from church.services.videos.streaming import playback_tokens
from church.services.videos.streaming.playback_tokens import (
    ExpiredTokenError,
    ForgedTokenError,
    NoTokenError,
    choose_playback,
    read_token,
    sign_token,
)
from tests.support.helpers import STRONG, grows, with_settings

VIDEO = "0123456789abcdef"
ADA = SignedIn(1, "ab12", "Ada", "ada@church.example", "member", True, 7, "cd34", token="raw")


def test_token_of_a_member_names_member_session_and_video(at_work: Flask) -> None:
    signed = sign_token(VIDEO, "720p", ADA)
    claims = read_token(signed.token)
    assert (claims.member, claims.sign_in, claims.video, claims.quality) == ("ab12", "cd34", VIDEO, "720p")
    assert (claims.playback, claims.expires_at) == (signed.playback, signed.expires_at)
    assert "raw" not in signed.token


def test_token_of_a_stranger_names_no_member(at_work: Flask) -> None:
    claims = read_token(sign_token(VIDEO, "720p", None).token)
    assert (claims.member, claims.sign_in) == (None, None)


def test_token_expires_after_the_configured_time_and_some_leeway(
    at_work: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = sign_token(VIDEO, "720p", ADA)
    monkeypatch.setattr(time, "time", lambda: float(signed.expires_at + 5))
    assert read_token(signed.token).expires_at == signed.expires_at
    monkeypatch.setattr(time, "time", lambda: signed.expires_at + 5.1)
    with pytest.raises(ExpiredTokenError):
        read_token(signed.token)


@pytest.mark.parametrize("at", range(9))
def test_token_changed_in_any_field_is_forged(at_work: Flask, at: int) -> None:
    fields = sign_token(VIDEO, "720p", ADA).token.split(".")
    fields[at] = ("y" if fields[at].startswith("x") else "x") + fields[at][1:]
    with grows(definitions.security_events.labels("video_token_forged", "medium")), pytest.raises(ForgedTokenError):
        read_token(".".join(fields))


@pytest.mark.parametrize("token", ["x", "........", "cvt1.\ud800", "a." * 300, "cvt1.0.x.-.-.v.q.p."])
def test_token_of_any_other_text_is_forged(at_work: Flask, token: str) -> None:
    with pytest.raises(ForgedTokenError):
        read_token(token)


def test_token_missing_is_not_counted_as_forged(at_work: Flask) -> None:
    with grows(definitions.security_events.labels("video_token_forged", "medium"), 0), pytest.raises(NoTokenError):
        read_token("")


def test_token_of_another_sites_secret_is_forged(at_work: Flask) -> None:
    signed = sign_token(VIDEO, "720p", ADA)
    at_work.config["CHURCH"] = with_settings(current_settings(), secret_key=SecretStr(STRONG))
    with pytest.raises(ForgedTokenError):
        read_token(signed.token)


@pytest.mark.parametrize(("video", "quality"), [(VIDEO, "720p.mp4"), ("../x", "720p"), (VIDEO, "")])
def test_sign_refuses_text_that_cannot_be_part_of_an_address(at_work: Flask, video: str, quality: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of an address"):
        sign_token(video, quality, ADA)


def test_playback_continues_if_its_id_is_valid() -> None:
    assert choose_playback("abcdefgh-1") == "abcdefgh-1"
    for given in ("", "short", "x" * 41, "abc.defgh"):
        assert choose_playback(given) != given
        assert playback_tokens._PLAYBACK.fullmatch(choose_playback(given))
