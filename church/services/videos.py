"""The videos: the face of the library, its imports, uploads and what members have watched.

Nothing outside this module's rooms (``video_*``) touches the folder of the videos, ffmpeg or the bucket.

A reader's road: ``listing``, ``watch_view``, ``playable`` (for the stream), ``save_position``. An admin's:
``start_upload`` and ``append`` (or ``add``), then ``admin_view`` until it is settled, ``edit``, ``retry``, ``delete``.
"""

from __future__ import annotations

from church.services.video_adding import add
from church.services.video_admin import admin_listing, admin_view, delete, edit, import_key, named, retry
from church.services.video_captions import add_caption, parse_caption, remove_caption
from church.services.video_chapters import chapters_text, parse_chapters, set_chapters
from church.services.video_demo import queue_demo
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
from church.services.video_import import import_video
from church.services.video_library import asset, begun, first_slugs, listing, playable, search, watch_view
from church.services.video_positions import save as save_position
from church.services.video_positions import set_resume
from church.services.video_pushing import push
from church.services.video_sweep import sweep
from church.services.video_tools import tools_missing
from church.services.video_uploads import (
    LARGEST_PIECE,
    append,
    give_up,
    start_upload,
    take_whole,
    upload_view,
    uploads_of,
)
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
