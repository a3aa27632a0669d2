"""Grant signed stream addresses to viewers who may watch, and check them again when the stream is requested."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from church import telemetry
from church.errors import ForbiddenError, UnauthorizedError
from church.services import sessions
from church.services.access import Access, may_read, outcome_for
from church.services.sessions import SignedIn
from church.services.videos.errors import UnknownVideoError
from church.services.videos.library import load_playable
from church.services.videos.presenters import PlayableVideo, RenditionView
from church.services.videos.streaming import playback_tokens
from church.services.videos.streaming.playback_tokens import (
    AccessEndedError,
    OtherMemberError,
    OtherVideoError,
    SignedToken,
    TokenClaims,
    TokenError,
)
from church.services.videos.streaming.playbacks import choose_label, is_first_request

_DEFAULT_HEIGHT = 720


@dataclass(frozen=True)
class GrantedAddress:
    """What a player gets: the token of one rendition, and the video with its other renditions."""

    signed: SignedToken
    video: PlayableVideo
    rendition: RenditionView


@dataclass(frozen=True)
class AllowedStream:
    """A stream that may be sent; its token is valid until ``expires_at`` (seconds since 1970)."""

    video: PlayableVideo
    rendition: RenditionView
    expires_at: int
    playback: str
    by_admin: bool = False


@dataclass(frozen=True)
class OpenFile:
    """An open rendition with its ETag (no quotes), last change (seconds since 1970) and size in bytes."""

    file: BinaryIO
    etag: str
    modified: float
    size: int


def grant_address(slug: str, viewer: SignedIn | None, quality: str = "", playback: str = "") -> GrantedAddress:
    """Sign a token for a viewer who may watch. Without such a ``quality`` it is for the best rendition up to 720p.

    Access is counted once a playback, not again for one that continues. Raises UnknownVideoError, UnauthorizedError
    for strangers, and ForbiddenError for members without access.
    """
    video = load_playable(slug)
    reader = sessions.reader_of(viewer)
    allowed = may_read(video.access, reader)
    if not playback or not allowed:
        telemetry.track_content_access("video", video.access, outcome_for(reader) if allowed else "denied")
    if not allowed:
        raise _refusal(viewer)
    rendition = video.renditions.get(quality) or _default_rendition(video)
    return GrantedAddress(playback_tokens.sign_token(video.ref, rendition.quality, viewer, playback), video, rendition)


def check_token(slug: str, token: str, viewer: SignedIn | None) -> AllowedStream:
    """Check ``token`` for the stream of a video; ``viewer`` is the signed-in viewer of this request, if any.

    Every request checks the signature, the video, and whether the token's member is still signed in and may still
    watch; that state is at most two seconds old. Raises UnknownVideoError and TokenError.
    """
    video = load_playable(slug)
    with telemetry.span("video.authorize"):
        try:
            claims = playback_tokens.read_token(token)
            rendition, by_admin = _check(claims, video, viewer)
        except TokenError as error:
            telemetry.track_video_stream(choose_label(slug), "other", error.outcome)
            raise
    return AllowedStream(video, rendition, claims.expires_at, claims.playback, by_admin)


def count_playback(admitted: AllowedStream) -> None:
    """Count the start of a playback when its first bytes are sent; later requests of it count nothing.

    An admin's counts as ``admin``, apart from the audience's.
    """
    if is_first_request(admitted.video.ref, admitted.playback):
        outcome = "admin" if admitted.by_admin else "started"
        telemetry.track_video_stream(choose_label(admitted.video.slug), admitted.rendition.quality, outcome)


def open_rendition(rendition: RenditionView) -> OpenFile:
    """Open the file of a rendition. Raises UnknownVideoError if it is gone.

    ETag and size come from the file, not from the database, so that no player joins two versions of a replaced file.
    """
    try:
        file = rendition.path.open("rb", buffering=0)
    except OSError:
        raise UnknownVideoError from None
    status = os.fstat(file.fileno())
    return OpenFile(file, f"{status.st_mtime_ns:x}-{status.st_size:x}", status.st_mtime, status.st_size)


def _check(claims: TokenClaims, video: PlayableVideo, viewer: SignedIn | None) -> tuple[RenditionView, bool]:
    """Return the rendition of the token, and whether an admin watches it. Raises TokenError."""
    if claims.video != video.ref:
        raise OtherVideoError
    if claims.member is not None and viewer is not None and viewer.ref != claims.member:
        raise OtherMemberError
    # A public video needs no lookup of a session.
    holder = viewer if video.access == Access.PUBLIC else _token_holder(claims, viewer)
    reader = sessions.reader_of(holder)
    if not may_read(video.access, reader):
        raise AccessEndedError
    rendition = video.renditions.get(claims.quality)
    if rendition is None:
        raise UnknownVideoError
    return rendition, reader.admin


def _token_holder(claims: TokenClaims, viewer: SignedIn | None) -> SignedIn | None:
    """Return the member that the token was signed for; None once that session has ended."""
    if claims.member is None or claims.sign_in is None:
        return None
    if viewer is not None and viewer.session_ref == claims.sign_in:
        return viewer
    return sessions.load_ref(claims.sign_in, claims.member)


def _default_rendition(video: PlayableVideo) -> RenditionView:
    """Choose the best rendition up to 720p, else the smallest. Raises UnknownVideoError if there is none."""
    by_height = sorted(video.renditions.values(), key=lambda rendition: rendition.height)
    if not by_height:
        raise UnknownVideoError
    small_enough = (rendition for rendition in reversed(by_height) if rendition.height <= _DEFAULT_HEIGHT)
    return next(small_enough, by_height[0])


def _refusal(viewer: SignedIn | None) -> UnauthorizedError | ForbiddenError:
    if viewer is None:
        return UnauthorizedError("Sign in to watch this.")
    if not viewer.is_member:
        return ForbiddenError("Confirm your email address to watch this. The link is in our email.")
    return ForbiddenError("This is for subscribers. See /stripe/pricing.")
