"""Load videos with their files, captions and chapters in the caller's transaction, and turn rows into views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.config import Settings
from church.models import Caption, Rendition, Video
from church.models.videos import VideoState
from church.services.access import Reader, may_read
from church.services.videos.descriptions import summarize
from church.services.videos.errors import UnknownVideoError
from church.services.videos.presenters import AdminVideo, CaptionView, Chapter, RenditionView, VideoCard, WatchProgress
from church.services.videos.storage.local import video_folder

_MISSING_WITHOUT_FFMPEG = ("renditions in other sizes", "a poster", "pictures for seeking")


# -- rows -----------------------------------------------------------------------------------------------------------


def load_by_ref(session: Session, ref: str, *, lock: bool = False) -> Video:
    """Load a video in any state by its ref; ``lock`` it before a write. Raises UnknownVideoError."""
    query = select(Video).where(Video.ref == ref)
    video = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if video is None:
        raise UnknownVideoError
    return video


def load_ready(session: Session, slug: str) -> Video:
    """Load a ready video by its slug. Raises UnknownVideoError."""
    query = select(Video).where(Video.slug == slug, Video.state == VideoState.READY.value)
    video = session.scalars(query).one_or_none()
    if video is None:
        raise UnknownVideoError
    return video


def load_renditions(session: Session, settings: Settings, *videos: Video) -> dict[int, tuple[RenditionView, ...]]:
    """Load the renditions of ``videos`` by video id, best first."""
    folders = {video.id: video_folder(settings, video.ref) for video in videos}
    query = select(Rendition).where(Rendition.video_id.in_(folders))
    by_video: dict[int, list[RenditionView]] = {video_id: [] for video_id in folders}
    for row in session.scalars(query.order_by(Rendition.height.desc(), Rendition.id)):
        by_video[row.video_id].append(
            RenditionView(
                quality=row.quality, file=row.file, path=folders[row.video_id] / row.file, bytes=row.bytes,
                width=row.width, height=row.height, bitrate=row.bitrate, etag=row.etag, in_bucket=row.in_bucket,
            )
        )  # fmt: skip
    return {video_id: tuple(views) for video_id, views in by_video.items()}


def load_captions(session: Session, settings: Settings, *videos: Video) -> dict[int, tuple[CaptionView, ...]]:
    """Load the captions of ``videos`` by video id, sorted by language."""
    folders = {video.id: video_folder(settings, video.ref) for video in videos}
    query = select(Caption).where(Caption.video_id.in_(folders)).order_by(Caption.language)
    by_video: dict[int, list[CaptionView]] = {video_id: [] for video_id in folders}
    for row in session.scalars(query):
        view = CaptionView(row.language, row.label, row.is_default, folders[row.video_id] / row.file)
        by_video[row.video_id].append(view)
    return {video_id: tuple(views) for video_id, views in by_video.items()}


def read_chapters(video: Video) -> tuple[Chapter, ...]:
    """Return the chapters of ``video`` in order of time."""
    return tuple(Chapter(int(chapter["at_ms"]), str(chapter["title"])) for chapter in video.chapters)


# -- views of rows --------------------------------------------------------------------------------------------------


def make_cards(videos: Iterable[Video], reader: Reader, watched: Mapping[int, WatchProgress]) -> tuple[VideoCard, ...]:
    """Make list cards of ready ``videos`` for ``reader``; ``watched`` has the member's positions by video id."""
    return tuple(make_card(video, reader, watched.get(video.id)) for video in videos)


def make_card(video: Video, reader: Reader, watched: WatchProgress | None = None) -> VideoCard:
    """Make the list card of a ready ``video`` for ``reader``."""
    return VideoCard(watched=watched, **make_card_fields(video, reader))


def make_card_fields(video: Video, reader: Reader) -> dict[str, Any]:
    """Return the fields that the list card and the watch page of a ready ``video`` share."""
    return {
        "ref": video.ref,
        "slug": video.slug,
        "title": video.title,
        "summary": summarize(video.description),
        "access": video.access_level,
        "open": may_read(video.access_level, reader),
        "duration_ms": video.duration_ms or 0,
        "width": video.width or 0,
        "height": video.height or 0,
        "has_poster": video.has_poster,
        "published_at": video.published_at or video.created_at,
    }


def make_admin_views(session: Session, settings: Settings, videos: Sequence[Video]) -> list[AdminVideo]:
    """Make the admin views of ``videos``, with two queries however many they are."""
    files, texts = load_renditions(session, settings, *videos), load_captions(session, settings, *videos)
    return [_admin_view(video, files[video.id], texts[video.id]) for video in videos]


def _admin_view(video: Video, files: tuple[RenditionView, ...], texts: tuple[CaptionView, ...]) -> AdminVideo:
    state = VideoState(video.state)
    return AdminVideo(
        ref=video.ref, slug=video.slug, title=video.title, description=video.description, access=video.access_level,
        state=state, reason=video.reason, progress=video.progress, plain=video.plain,
        missing=_MISSING_WITHOUT_FFMPEG if video.plain and state is VideoState.READY else (),
        source_name=video.source_name, source_bytes=video.source_bytes, duration_ms=video.duration_ms,
        width=video.width, height=video.height, has_poster=video.has_poster, has_thumbs=video.has_thumbs,
        renditions=files, captions=texts, chapters=read_chapters(video), created_at=video.created_at,
        published_at=video.published_at,
    )  # fmt: skip
