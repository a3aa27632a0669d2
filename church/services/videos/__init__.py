"""The video library: add and import videos, edit them, list, search and stream them, remember positions.

Only this package touches the video folder, ffmpeg and the bucket.

For a viewer: ``list_videos``, ``load_watch_view``, ``grant_address`` (for the stream), ``save_position``. For an admin:
``start_upload`` and ``append_piece`` (or ``add_file``), ``load_for_admin`` until the import has ended, then
``edit_video``, ``retry_import`` and ``delete_video``.
"""

from __future__ import annotations

from church.services.videos import account_data  # noqa: F401 - registers the library's part of an account
from church.services.videos.addresses import VideoAddresses
from church.services.videos.editing import (
    delete_video,
    edit_video,
    find_video,
    list_for_admin,
    load_for_admin,
    make_import_key,
    retry_import,
)
from church.services.videos.errors import UnknownVideoError
from church.services.videos.importing import cleanup  # noqa: F401 - registers its job
from church.services.videos.importing.add_video import add_file, queue_demo
from church.services.videos.importing.captions import add_caption, parse_caption, remove_caption
from church.services.videos.importing.chapters import format_chapters, parse_chapters, set_chapters
from church.services.videos.importing.ffmpeg import find_missing_tools
from church.services.videos.importing.import_job import import_video
from church.services.videos.importing.receive_upload import (
    MAX_PIECE_BYTES,
    append_piece,
    cancel_upload,
    list_uploads,
    load_upload,
    receive_whole,
    start_upload,
)
from church.services.videos.library import find_asset, load_watch_view
from church.services.videos.listing import (
    PART_SIZE,
    UnknownKeyError,
    VideoPart,
    list_unfinished,
    list_videos,
    search_videos,
)
from church.services.videos.newest import (
    count_videos,
    find_last_published,
    find_version,
    init_app,
    library_version,
    list_months,
    list_newest,
    list_newest_of,
)
from church.services.videos.positions import save_position, set_resume
from church.services.videos.presenters import AdminVideo, UploadView, VideoDraft, WatchView
from church.services.videos.storage.bucket import bucket_origin, is_boto3_installed, presign, push_missing
from church.services.videos.storage.local import POSTER
from church.services.videos.streaming.player_addresses import (
    AllowedStream,
    check_token,
    count_playback,
    grant_address,
    open_rendition,
)

__all__ = [
    "MAX_PIECE_BYTES",
    "PART_SIZE",
    "POSTER",
    "AdminVideo",
    "AllowedStream",
    "UnknownKeyError",
    "UnknownVideoError",
    "UploadView",
    "VideoAddresses",
    "VideoDraft",
    "VideoPart",
    "WatchView",
    "add_caption",
    "add_file",
    "append_piece",
    "bucket_origin",
    "cancel_upload",
    "check_token",
    "count_playback",
    "count_videos",
    "delete_video",
    "edit_video",
    "find_asset",
    "find_last_published",
    "find_missing_tools",
    "find_version",
    "find_video",
    "format_chapters",
    "grant_address",
    "import_video",
    "init_app",
    "is_boto3_installed",
    "library_version",
    "list_for_admin",
    "list_months",
    "list_newest",
    "list_newest_of",
    "list_unfinished",
    "list_uploads",
    "list_videos",
    "load_for_admin",
    "load_upload",
    "load_watch_view",
    "make_import_key",
    "open_rendition",
    "parse_caption",
    "parse_chapters",
    "presign",
    "push_missing",
    "queue_demo",
    "receive_whole",
    "remove_caption",
    "retry_import",
    "save_position",
    "search_videos",
    "set_chapters",
    "set_resume",
    "start_upload",
]
