"""What pages for everyone show of the videos: the newest, how many, and their months. Made once per change."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from church.config import Settings
from church.errors import UnavailableError
from church.extensions import db
from church.lib.app_context import App, app_state
from church.lib.host.host_mark import HostMark
from church.lib.per_process import PerProcess
from church.lib.threads import is_patched, start_beside
from church.models import Video, VideoLibrary
from church.models.videos import VideoState
from church.services.access import ANONYMOUS, Access
from church.services.videos import listing, queries
from church.services.videos.presenters import VideoCard

_KEPT, _MARK, _APP = "video_shelf", "video_mark", "video_app"  # keys in app.extensions
_CHECK_SECONDS = 1.0
_PATIENCE = 0.25  # seconds that a request waits for the version, while the database answers
_TRUSTED_SECONDS = 2.0
_NEWEST = 50
_MOST_MONTHS = 1200
_READY = Video.state == VideoState.READY.value

_NONE: tuple[VideoCard, ...] = ()

_T = TypeVar("_T")


@dataclass(frozen=True)
class MonthOfVideos:
    """A month in which videos were published."""

    year: int
    month: int


@dataclass
class _Kept:
    """What was made of one version of the library. ``version`` is -1 as long as the database was never reached."""

    version: int = -1
    check_at: float = 0.0
    mark: int = 0
    """The host's mark of changes before the version was read."""
    looking: int = 0
    """The mark for which the version is being read."""
    looked_at: float = 0.0
    is_looking: bool = False
    """Whether a greenlet of its own is reading the version."""
    is_prompt: bool = True
    """Whether the database answered the last of them soon."""
    values: dict[Hashable, Any] = field(default_factory=dict)
    before: dict[Hashable, Any] = field(default_factory=dict)
    """What was made of the version before, for while the database is down."""


def init_app(app: App) -> None:
    """Give ``app`` the mark by which the processes of a host tell each other of changes."""
    settings: Settings = app.config["CHURCH"]
    app.extensions[_MARK] = PerProcess(partial(HostMark, settings.instance / "videos.mark"))
    app.extensions[_APP] = app


def mark_changed() -> None:
    """Make every process of this host look at the videos again now; other hosts do within a second.

    Call it after the commit.
    """
    _mark_of(app_state())[0] = secrets.randbits(63)


def find_version(app: App) -> int | None:
    """Return the ``library_version`` of an app outside its requests, without waiting for the database.

    None if it is not known: after a change that nobody has looked at, or if the last look is two seconds old.
    """
    kept: _Kept | None = app.extensions.get(_KEPT)
    mark, now = _mark_of(app.extensions)[0], time.monotonic()
    if kept is None or kept.version < 0 or kept.mark != mark or now >= kept.looked_at + _TRUSTED_SECONDS:
        return None
    if now >= kept.check_at:
        _start_look(app, kept, mark)
    return kept.version


def _start_look(app: App, kept: _Kept, mark: int) -> threading.Event | None:
    """Read the version beside the request; the event is set at the end. None if that is being done already."""
    kept.check_at, kept.looking = time.monotonic() + _CHECK_SECONDS, mark
    if kept.is_looking:
        return None
    kept.is_looking, done = True, threading.Event()
    start_beside("videos-look", _look_beside, app, kept, mark, done)
    return done


def _look_beside(app: App, kept: _Kept, mark: int, done: threading.Event) -> None:
    try:
        with app.app_context():
            _look(kept, mark)
    finally:
        kept.is_looking, kept.is_prompt = False, True
        done.set()


def _mark_of(extensions: Mapping[str, Any]) -> HostMark:
    mark: PerProcess[HostMark] = extensions[_MARK]
    return mark()


def library_version() -> int:
    """Return a number that changes when readers may see something else in the videos; at most a second old.

    While the database is down it is the last one. Database errors are not raised.
    """
    return _current().version


def list_newest(limit: int = _NEWEST) -> tuple[VideoCard, ...]:
    """List the newest ready videos, at most 50, as a stranger sees them. Database errors are not raised.

    While the database is down the list is the last one that was loaded.
    """
    return _keep("newest", _load_newest, _NONE)[:limit]


def list_newest_of(access: Access, limit: int) -> tuple[VideoCard, ...]:
    """List the newest ready videos of one access level, as a stranger sees them. Database errors are not raised."""
    return _keep(("newest", access, limit), lambda: _load_newest_of(access, limit), _NONE)


def count_videos() -> int:
    """Count the ready videos."""
    return _keep("count", _count, 0)


def list_months() -> tuple[MonthOfVideos, ...]:
    """List the months in which videos were published, newest first."""
    return _keep("months", _load_months, ())


def find_last_published() -> float:
    """Return when the newest video was published, in seconds since 1970; 0 if there is none."""
    return next((video.published_at.timestamp() for video in list_newest(1)), 0.0)


def _current() -> _Kept:
    kept: _Kept = app_state().setdefault(_KEPT, _Kept())
    mark = _mark_of(app_state())[0]
    if time.monotonic() < kept.check_at and mark in {kept.mark, kept.looking}:
        return kept
    if kept.version < 0 or not is_patched():
        return _look(kept, mark)
    done = _start_look(app_state()[_APP], kept, mark)
    if done is not None and kept.is_prompt:
        kept.is_prompt = done.wait(_PATIENCE)
    now_kept: _Kept = app_state()[_KEPT]
    return now_kept


def _look(kept: _Kept, mark: int) -> _Kept:
    """Read the version. Requests that come meanwhile get what is kept. While the database is down, nothing changes."""
    now = time.monotonic()
    kept.check_at, kept.looking = now + _CHECK_SECONDS, mark
    version = kept.version
    with suppress(UnavailableError, SQLAlchemyError):  # the latter before the migrations
        version = _read_version()
    if version != kept.version:
        kept = app_state()[_KEPT] = _Kept(version, kept.check_at, before={**kept.before, **kept.values})
    kept.mark, kept.looking, kept.looked_at = mark, mark, now
    return kept


def _read_version() -> int:
    with db.read() as session:
        return session.scalar(select(VideoLibrary.version)) or 0


def _keep(name: Hashable, make: Callable[[], _T], without: _T) -> _T:
    """Return what ``make`` loads, and keep it, unless the request reads in a snapshot from before this version."""
    kept = _current()
    if name in kept.values:
        value: _T = kept.values[name]
        return value
    try:
        made = make()
        if _read_version() >= kept.version:
            kept.values[name] = made
    except (UnavailableError, SQLAlchemyError):
        before: _T = kept.before.get(name, without)
        return before
    return made


def _load_newest() -> tuple[VideoCard, ...]:
    with db.read() as session:
        return queries.make_cards(listing.load_newest(session, _NEWEST), ANONYMOUS, {})


def _load_newest_of(access: Access, limit: int) -> tuple[VideoCard, ...]:
    query = select(Video).where(_READY, Video.access_level == access.value)
    with db.read() as session:
        videos = session.scalars(query.order_by(Video.published_at.desc(), Video.id.desc()).limit(limit)).all()
    return queries.make_cards(videos, ANONYMOUS, {})


def _count() -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(Video).where(_READY)) or 0


def _load_months() -> tuple[MonthOfVideos, ...]:
    """Step from month to month along the index: reads one row of each, not all videos."""
    newest = select(func.max(Video.published_at)).where(_READY)
    months: list[MonthOfVideos] = []
    with db.read() as session:
        published: datetime | None = session.scalar(newest)
        while published is not None and len(months) < _MOST_MONTHS:
            months.append(MonthOfVideos(published.year, published.month))
            first = datetime(published.year, published.month, 1, tzinfo=UTC)
            published = session.scalar(newest.where(Video.published_at < first))
    return tuple(months)
