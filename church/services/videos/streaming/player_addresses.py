"""Who is let into a stream: a signed address for who may watch, and what it is still worth when it is shown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from church import telemetry
from church.errors import ForbiddenError, UnauthorizedError
from church.services import sessions
from church.services.access import ANONYMOUS, Access, Reader, may_read
from church.services.sessions import SignedIn
from church.services.videos.errors import UnknownVideoError
from church.services.videos.library import playable
from church.services.videos.presenters import Playable, RenditionView
from church.services.videos.streaming import playback_tokens
from church.services.videos.streaming.playback_tokens import (
    Claims,
    EntitlementError,
    OtherMemberError,
    OtherVideoError,
    Signed,
    TokenError,
)
from church.services.videos.streaming.playbacks import is_first, label
from church.web.byte_ranges import Validators

_USUAL_HEIGHT = 720


@dataclass(frozen=True)
class Granted:
    """What a player gets: the token of one rendition, and what else there is to choose from."""

    signed: Signed
    video: Playable
    rendition: RenditionView


@dataclass(frozen=True)
class Admitted:
    """A stream that may begin; the token that opened it is good until ``expires_at`` (seconds since 1970)."""

    video: Playable
    rendition: RenditionView
    expires_at: int
    playback: str


def grant(slug: str, who: SignedIn | None, quality: str = "", playback: str = "") -> Granted:
    """A token for who may watch; where there is no such ``quality``, of the best rendition up to 720p.

    Counted as access where a playback begins: one that goes on shows its name. Raises UnknownVideoError,
    UnauthorizedError for strangers, and ForbiddenError for members without the right.
    """
    video = playable(slug)
    allowed = may_read(video.access, _reader(who))
    if not playback or not allowed:
        telemetry.track_content_access("video", video.access, "granted" if allowed else "denied")
    if not allowed:
        raise _refusal(video, who)
    rendition = video.renditions.get(quality) or _usual(video)
    return Granted(playback_tokens.sign(video.ref, rendition.quality, who, playback), video, rendition)


def admit(slug: str, token: str, who: SignedIn | None) -> Admitted:
    """Let the holder of ``token`` into the stream at ``slug``; ``who`` is signed in where it is shown, if anybody is.

    Everything is looked at anew: the signature, the video, and whether the member of the token is still signed in and
    may still watch, by what is at most two seconds old. Raises UnknownVideoError and TokenError.
    """
    video = playable(slug)
    with telemetry.span("video.authorize"):
        try:
            claims = playback_tokens.read(token)
            rendition = _check(claims, video, who)
        except TokenError as error:
            telemetry.track_video_stream(label(slug), "other", error.outcome)
            raise
    return Admitted(video, rendition, claims.expires_at, claims.playback)


def begin(admitted: Admitted) -> None:
    """Count the playback that begins now that something of it is sent; a later request of it counts nothing."""
    if is_first(admitted.video.ref, admitted.playback):
        telemetry.track_video_stream(label(admitted.video.slug), admitted.rendition.quality, "started")


def opened(rendition: RenditionView) -> tuple[BinaryIO, Validators, int]:
    """The file of a rendition, by what its versions are told apart, and its size. Raises UnknownVideoError.

    Of the file as it lies there, not of the database: whatever was done to it, no player joins two versions of it.
    """
    try:
        file = rendition.path.open("rb", buffering=0)
    except OSError:
        raise UnknownVideoError from None
    found = os.fstat(file.fileno())
    return file, Validators(f"{found.st_mtime_ns:x}-{found.st_size:x}", found.st_mtime), found.st_size


def _check(claims: Claims, video: Playable, who: SignedIn | None) -> RenditionView:
    if claims.video != video.ref:
        raise OtherVideoError
    if claims.member is not None and who is not None and who.ref != claims.member:
        raise OtherMemberError
    if video.access != Access.PUBLIC and not may_read(video.access, _reader(_holder(claims, who))):
        raise EntitlementError
    rendition = video.renditions.get(claims.quality)
    if rendition is None:
        raise UnknownVideoError
    return rendition


def _holder(claims: Claims, who: SignedIn | None) -> SignedIn | None:
    """Whom the token was made for, if that sign-in has not ended."""
    if claims.member is None or claims.sign_in is None:
        return None
    if who is not None and who.session_ref == claims.sign_in:
        return who
    return sessions.load_ref(claims.sign_in, claims.member)


def _reader(who: SignedIn | None) -> Reader:
    return Reader(member=who.is_member, premium=who.premium) if who is not None else ANONYMOUS


def _usual(video: Playable) -> RenditionView:
    """The best that is no larger than 720p, else the smallest. Raises UnknownVideoError where there is none."""
    by_size = sorted(video.renditions.values(), key=lambda one: one.height)
    if not by_size:
        raise UnknownVideoError
    return next((one for one in reversed(by_size) if one.height <= _USUAL_HEIGHT), by_size[0])


def _refusal(video: Playable, who: SignedIn | None) -> UnauthorizedError | ForbiddenError:
    if who is None:
        return UnauthorizedError("Sign in to watch this.")
    if not who.is_member:
        return ForbiddenError("Confirm your email address to watch this. The link is in our email.")
    return ForbiddenError("This is for subscribers. See /stripe/pricing.")
