"""Errors of the video library: unknown videos and uploads, files that are too large, failed imports."""

from __future__ import annotations

from church.errors import ChurchError, ConflictError, InvalidError, NotFoundError


class UnknownVideoError(NotFoundError):
    """No video exists there, or it is not ready and the viewer is not an admin."""

    def __init__(self) -> None:
        super().__init__("There is no such video. It may have been removed, or the address is mistyped.")


class UnknownUploadError(NotFoundError):
    """This admin has no such upload: it is complete, cancelled or expired."""

    def __init__(self) -> None:
        super().__init__("This upload no longer exists. Start it again.")


class OffsetError(ConflictError):
    """A piece of an upload does not begin where the last one ended; ``offset`` is where that is."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"The next piece of this upload begins at byte {offset}.")
        self.offset = offset


class TooLargeError(ChurchError):
    """The video has more bytes than CHURCH_VIDEO_MAX_BYTES allows."""

    status = 413

    def __init__(self, most: int) -> None:
        super().__init__(f"A video can be at most {most / 1024**3:.1f} GiB.")


class DiskFullError(ChurchError):
    """The disk with the video folder has too little free space."""

    status = 507

    def __init__(self) -> None:
        super().__init__("There is not enough disk space for this video.")


class NotVideoError(InvalidError):
    """The file is not a video that the site accepts; the message says why."""


class ImportFailedError(Exception):
    """An import failed; the message is a reason that an admin can read."""
