"""The video library: add and import videos, edit them, list, search and stream them, remember positions.

Only this package touches the video folder, ffmpeg and the bucket.

For a viewer: ``listing``, ``watch_view``, ``playable`` (for the stream), ``save_position``. For an admin:
``start_upload`` and ``append`` (or ``add``), ``admin_view`` until the import has ended, then ``edit``, ``retry`` and
``delete``.
"""

from __future__ import annotations

from church.services.videos import account_data  # noqa: F401 - registers the library's part of an account
from church.services.videos.editing import admin_listing, admin_view, delete, edit, import_key, named, retry
from church.services.videos.errors import (
    ImportFailedError,
    NoRoomError,
    NotVideoError,
    OffsetError,
    TooLargeError,
    UnknownUploadError,
    UnknownVideoError,
)
from church.services.videos.importing.add_video import add, queue_demo
from church.services.videos.importing.captions import add_caption, parse_caption, remove_caption
from church.services.videos.importing.chapters import chapters_text, parse_chapters, set_chapters
from church.services.videos.importing.cleanup import sweep
from church.services.videos.importing.ffmpeg import tools_missing
from church.services.videos.importing.import_job import import_video
from church.services.videos.importing.receive_upload import (
    LARGEST_PIECE,
    append,
    give_up,
    start_upload,
    take_whole,
    upload_view,
    uploads_of,
)
from church.services.videos.library import asset, begun, first_slugs, listing, playable, search, watch_view
from church.services.videos.positions import save as save_position
from church.services.videos.positions import set_resume
from church.services.videos.presenters import (
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
from church.services.videos.storage.bucket import push
from church.services.videos.storage.local import POSTER, SPRITE, THUMBS

__all__ = [
    "LARGEST_PIECE",
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
    "add",
    "add_caption",
    "admin_listing",
    "admin_view",
    "append",
    "asset",
    "begun",
    "chapters_text",
    "delete",
    "edit",
    "first_slugs",
    "give_up",
    "import_key",
    "import_video",
    "listing",
    "named",
    "parse_caption",
    "parse_chapters",
    "playable",
    "push",
    "queue_demo",
    "remove_caption",
    "retry",
    "save_position",
    "search",
    "set_chapters",
    "set_resume",
    "start_upload",
    "sweep",
    "take_whole",
    "tools_missing",
    "upload_view",
    "uploads_of",
    "watch_view",
]
