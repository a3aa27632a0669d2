"""What the rest of the site gets of a video: a card in a list, the watch page, what streams, what an admin sees."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from markupsafe import Markup

from church.models.videos import VideoState


@dataclass(frozen=True)
class Watched:
    """How far a member is in a video; ``position_ms`` is 0 once it is ``finished``."""

    position_ms: int
    finished: bool
    updated_at: datetime


@dataclass(frozen=True)
class VideoCard:
    """A ready video in a list. ``open`` is whether the reader who asked may watch it."""

    ref: str
    slug: str
    title: str
    summary: str
    """The beginning of the description, as plain text of one line."""
    access: str
    open: bool
    duration_ms: int
    width: int
    height: int
    has_poster: bool
    published_at: datetime
    watched: Watched | None = None
    """None for strangers, for who has not begun it, and for who does not want it kept."""

    @property
    def url(self) -> str:
        """The path of its page on the site."""
        return f"/video/{self.slug}"

    @property
    def percent(self) -> int:
        """How much of it was watched, from 0 to 100."""
        if self.watched is None:
            return 0
        return 100 if self.watched.finished else min(100, self.watched.position_ms * 100 // max(1, self.duration_ms))


@dataclass(frozen=True)
class RenditionView:
    """One file that can be streamed; ``path`` is where it lies on this host, ``etag`` has no quotes."""

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
    """A part of a video, from ``at_ms`` on."""

    at_ms: int
    title: str


@dataclass(frozen=True, kw_only=True)
class WatchView(VideoCard):
    """The watch page. For a reader to whom it is not ``open``, everything below the description is empty."""

    description: Markup
    qualities: tuple[str, ...] = ()
    """The best first."""
    captions: tuple[CaptionView, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    has_thumbs: bool = False
    related: tuple[VideoCard, ...] = ()
    """Never empty for want of access: the way in shows them, too."""
    resume: bool = True
    """Whether the member wants the site to remember where they are."""


@dataclass(frozen=True)
class Playable:
    """What streaming needs of a ready video; ``renditions`` by quality, the best first."""

    id: int
    ref: str
    slug: str
    title: str
    access: str
    duration_ms: int
    renditions: dict[str, RenditionView]


@dataclass(frozen=True)
class AdminVideo:
    """One video as admins see it, in whatever state."""

    ref: str
    slug: str
    title: str
    description: str
    """As it was written, in markdown."""
    access: str
    state: VideoState
    reason: str | None
    progress: int
    plain: bool
    missing: tuple[str, ...]
    """What a video that was taken without ffmpeg lacks, in words."""
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
        """The path of its page on the site, once it is ready."""
        return f"/video/{self.slug}"

    @property
    def settled(self) -> bool:
        """Whether nothing changes by itself any more."""
        return self.state in {VideoState.READY, VideoState.FAILED}


@dataclass(frozen=True)
class UploadView:
    """An upload that is not complete. ``received`` is where the next piece begins."""

    ref: str
    name: str
    title: str
    access: str
    size: int
    received: int
    expires_at: datetime


@dataclass(frozen=True)
class Draft:
    """What is said of a video that is to be taken in. An empty ``slug`` is made of the title."""

    title: str
    access: str
    description: str = ""
    slug: str = ""
