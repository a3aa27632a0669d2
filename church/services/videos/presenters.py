"""What other packages and templates get of a video: list card, watch page, stream, admin view and upload."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from markupsafe import Markup

from church.models.videos import VideoState

_RESUME_SHARE = 0.05
_RESUME_MS = 10_000


def count_resume_ms(duration_ms: int) -> int:
    """Return from which millisecond on a position is worth keeping: at 5 %, and at 10 seconds of a long video."""
    return min(_RESUME_MS, int(duration_ms * _RESUME_SHARE))


@dataclass(frozen=True)
class WatchProgress:
    """A member's position in a video; ``position_ms`` is 0 once it is ``finished``."""

    position_ms: int
    finished: bool
    updated_at: datetime


@dataclass(frozen=True)
class VideoCard:
    """A ready video in a list. ``open`` is whether the reader may watch it."""

    ref: str
    slug: str
    title: str
    summary: str
    """The beginning of the description: plain text in one line."""
    access: str
    open: bool
    duration_ms: int
    width: int
    height: int
    has_poster: bool
    published_at: datetime
    watched: WatchProgress | None = None
    """None for strangers, for videos that the member has not started, and where resume is off."""

    @property
    def url(self) -> str:
        """Path of the watch page."""
        return f"/video/{self.slug}"

    @property
    def percent(self) -> int:
        """Share of the video that the member has watched, 0 to 100."""
        if self.watched is None:
            return 0
        return 100 if self.watched.finished else min(100, self.watched.position_ms * 100 // max(1, self.duration_ms))


@dataclass(frozen=True)
class RenditionView:
    """One file that can be streamed. ``path`` is on this host, ``etag`` has no quotes, ``bitrate`` is bits a second."""

    quality: str
    file: str
    path: Path
    bytes: int
    width: int
    height: int
    bitrate: int
    etag: str
    in_bucket: bool


@dataclass(frozen=True)
class CaptionView:
    """The captions of one language; ``path`` is the WebVTT file."""

    language: str
    label: str
    is_default: bool
    path: Path


@dataclass(frozen=True)
class Chapter:
    """A titled part of a video that starts at ``at_ms``."""

    at_ms: int
    title: str


@dataclass(frozen=True, kw_only=True)
class WatchView(VideoCard):
    """The watch page. If ``open`` is false, the fields from ``qualities`` to ``has_thumbs`` are empty."""

    description: Markup
    qualities: tuple[str, ...] = ()
    """Best first."""
    captions: tuple[CaptionView, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    has_thumbs: bool = False
    related: tuple[VideoCard, ...] = ()
    """Other videos, also for a reader who may not watch this one."""
    resume: bool = True
    """Whether the member's positions are saved."""

    @property
    def resume_from_ms(self) -> int:
        """From which position on the member's place is kept."""
        return count_resume_ms(self.duration_ms)

    @property
    def resume_ms(self) -> int:
        """Where the member left off; 0 to start at the beginning."""
        position = self.watched.position_ms if self.watched is not None and self.resume else 0
        return position if position >= self.resume_from_ms else 0


@dataclass(frozen=True)
class PlayableVideo:
    """What streaming needs of a ready video; ``renditions`` by quality, best first."""

    id: int
    ref: str
    slug: str
    title: str
    access: str
    duration_ms: int
    renditions: dict[str, RenditionView]


@dataclass(frozen=True)
class AdminVideo:
    """A video in any state, as admins see it."""

    ref: str
    slug: str
    title: str
    description: str
    """Markdown, as written."""
    access: str
    state: VideoState
    reason: str | None
    progress: int
    plain: bool
    missing: tuple[str, ...]
    """What a video that was imported without ffmpeg lacks, as text for the admin."""
    source_name: str
    source_bytes: int
    duration_ms: int | None
    width: int | None
    height: int | None
    has_poster: bool
    has_thumbs: bool
    renditions: tuple[RenditionView, ...]
    captions: tuple[CaptionView, ...]
    chapters: tuple[Chapter, ...]
    created_at: datetime
    published_at: datetime | None

    @property
    def url(self) -> str:
        """Path of the watch page; it exists once the video is ready."""
        return f"/video/{self.slug}"

    @property
    def settled(self) -> bool:
        """Whether the import has ended, as ready or failed."""
        return self.state in {VideoState.READY, VideoState.FAILED}


@dataclass(frozen=True)
class UploadView:
    """An incomplete upload. The next piece begins at byte ``received``."""

    ref: str
    name: str
    title: str
    access: str
    size: int
    received: int
    expires_at: datetime


@dataclass(frozen=True)
class VideoDraft:
    """What an admin enters about a new video. If ``slug`` is empty, one is made from the title."""

    title: str
    access: str
    description: str = ""
    slug: str = ""
