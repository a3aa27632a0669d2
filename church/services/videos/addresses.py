"""The addresses of all ready videos, for the sitemap: by id, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import select

from church.extensions import db
from church.models import Video
from church.models.videos import VideoState
from church.services.videos.newest import count_videos, library_version

_BATCH = 1000
_READY = Video.state == VideoState.READY.value


class VideoAddresses:
    """The paths of the watch pages and when each was published. Reading raises DatabaseDownError, DatabaseBusyError."""

    def version(self) -> tuple[int, int]:
        """Return what changes with the videos, and with their count, which is unknown while the database is down."""
        return library_version(), count_videos()

    def count(self) -> int:
        """Count the videos."""
        return count_videos()

    def read(self, start: int) -> Iterator[Sequence[tuple[str, datetime | None]]]:
        """Yield the addresses from number ``start`` on."""
        after = self._find_start(start) if start else 0
        while after is not None:
            with db.read() as session:
                page = select(Video.id, Video.slug, Video.published_at).where(_READY, Video.id > after)
                rows = session.execute(page.order_by(Video.id).limit(_BATCH)).all()
            if rows:
                yield [(f"/video/{row.slug}", row.published_at) for row in rows]
            after = rows[-1].id if len(rows) == _BATCH else None

    def _find_start(self, start: int) -> int | None:
        """Find the id of the video before number ``start``: read once for a file of 50,000."""
        with db.read() as session:
            ids = select(Video.id).where(_READY).order_by(Video.id)
            return session.scalar(ids.offset(start - 1).limit(1))
