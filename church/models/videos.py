"""Videos with their searchable text, renditions and captions, unfinished uploads, and watch positions.

The files are in ``CHURCH_VIDEO_DIR``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class VideoState(StrEnum):
    """State of a video's import; only admins see videos that are not ``ready``."""

    QUEUED = "queued"
    WORKING = "working"
    READY = "ready"
    FAILED = "failed"


class Video(Base):
    """One video. ``ref`` is its folder and its id in tokens, never reused; ``slug`` is its address."""

    __tablename__ = "videos"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'working', 'ready', 'failed')", name="state"),
        CheckConstraint("access_level IN ('public', 'members', 'premium')", name="access_level"),
        CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
        Index("ix_videos_state_published_at", "state", "published_at", "id"),
        Index("ix_videos_state_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    slug: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str] = mapped_column(PlainText)
    description: Mapped[str] = mapped_column(PlainText)
    """Markdown, readable by everyone, whatever the access level."""
    access_level: Mapped[str]
    state: Mapped[str] = mapped_column(default=VideoState.QUEUED.value)
    reason: Mapped[str | None] = mapped_column(PlainText)
    """Why the import failed, for admins."""
    progress: Mapped[int] = mapped_column(default=0)
    """Progress of the import in percent."""
    source_name: Mapped[str] = mapped_column(PlainText)
    source_bytes: Mapped[int] = mapped_column(BigInteger)
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    has_poster: Mapped[bool] = mapped_column(default=False)
    has_thumbs: Mapped[bool] = mapped_column(default=False)
    plain: Mapped[bool] = mapped_column(default=False)
    """Stored unchanged, because ffmpeg is missing."""
    chapters: Mapped[list[Any]] = mapped_column(JSON().with_variant(JSONB(), "postgresql"), default=list)
    """A list of ``{"at_ms": …, "title": …}`` in order of time."""
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    uploaded_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    """None if the command line added it."""


class VideoText(Base):
    """The searchable text of one video; ``id`` is the video's. Triggers copy it, by whatever way the video changes.

    ``prepared`` is whether letters of unspaced scripts stand apart in it, as the search expects (see
    services/videos/search.py). Text that is not is found by whole words already.
    """

    __tablename__ = "video_texts"
    __table_args__ = (
        Index(
            "ix_video_texts_prepared",
            "prepared",
            sqlite_where=text("prepared = 0"),
            postgresql_where=text("NOT prepared"),
        ),
    )

    id: Mapped[int] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(PlainText)
    description: Mapped[str] = mapped_column(PlainText)
    prepared: Mapped[bool]


class VideoLibrary(Base):
    """One row, with ``id`` 1. Triggers raise ``version`` whenever readers may see something else in the videos."""

    __tablename__ = "video_library"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)


class Rendition(Base):
    """One streamable file of a video. It never changes: a new file has a new name."""

    __tablename__ = "video_renditions"
    __table_args__ = (UniqueConstraint("video_id", "quality"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id"))
    quality: Mapped[str]
    """``1080p``, ``720p``, the height of a smaller source, or ``source`` for a file stored unchanged."""
    file: Mapped[str]
    """File name in the video's folder, and after ``<ref>/`` in the bucket."""
    bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    bitrate: Mapped[int]
    """Average bits per second."""
    etag: Mapped[str]
    """Digest of its bytes, without quotes."""
    in_bucket: Mapped[bool] = mapped_column(default=False)


class Caption(Base):
    """One caption file (WebVTT) of a video, in one language (BCP 47)."""

    __tablename__ = "video_captions"
    __table_args__ = (UniqueConstraint("video_id", "language"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id"))
    language: Mapped[str]
    label: Mapped[str] = mapped_column(PlainText)
    file: Mapped[str]
    is_default: Mapped[bool] = mapped_column(default=False)


class VideoUpload(Base):
    """One unfinished upload. The last chunk creates the video and deletes the row."""

    __tablename__ = "video_uploads"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(PlainText)
    """File name from the browser."""
    title: Mapped[str] = mapped_column(PlainText)
    description: Mapped[str] = mapped_column(PlainText)
    access_level: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    """Extended by every chunk."""


class WatchPosition(Base):
    """How far one member has watched one video."""

    __tablename__ = "watch_positions"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id"), primary_key=True, index=True)
    position_ms: Mapped[int] = mapped_column(BigInteger)
    finished: Mapped[bool]
    """Watched to the end, or nearly: the next playback starts from the beginning."""
    updated_at: Mapped[datetime]


class WatchSetting(Base):
    """Whether the site remembers one member's watch positions; yes without a row."""

    __tablename__ = "watch_settings"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    resume: Mapped[bool]
