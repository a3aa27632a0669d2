"""The videos: the face of the library, its imports, uploads and what members have watched.

Nothing outside this module's rooms (``video_*``) touches the folder of the videos, ffmpeg or the bucket.

A reader's road: ``listing``, ``watch_view``, ``playable`` (for the stream), ``save_position``. An admin's:
``start_upload`` and ``append`` (or ``add``), then ``admin_view`` until it is settled, ``edit``, ``retry``, ``delete``.
"""

from __future__ import annotations

from church.services.video_admin import admin_listing, admin_view, delete, edit, retry
from church.services.video_errors import (
    ImportFailedError,
    NoRoomError,
    NotVideoError,
    OffsetError,
    TooLargeError,
    UnknownUploadError,
    UnknownVideoError,
)
from church.services.video_files import POSTER, SPRITE, THUMBS
from church.services.video_library import asset, first_slugs, listing, playable, search, watch_view
from church.services.video_positions import save as save_position
from church.services.video_positions import set_resume
from church.services.video_views import (
    AdminVideo,
    CaptionView,
    Chapter,
    Draft,
    Playable,
    RenditionView,
    UploadView,
    VideoCard,
    Watched,
    WatchView,
)

__all__ = [
    "POSTER",
    "SPRITE",
    "THUMBS",
    "AdminVideo",
    "CaptionView",
    "Chapter",
    "Draft",
    "ImportFailedError",
    "NoRoomError",
    "NotVideoError",
    "OffsetError",
    "Playable",
    "RenditionView",
    "TooLargeError",
    "UnknownUploadError",
    "UnknownVideoError",
    "UploadView",
    "VideoCard",
    "WatchView",
    "Watched",
    "admin_listing",
    "admin_view",
    "asset",
    "delete",
    "edit",
    "first_slugs",
    "listing",
    "playable",
    "retry",
    "save_position",
    "search",
    "set_resume",
    "watch_view",
]
