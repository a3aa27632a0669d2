"""What can stand against something that is done with the videos."""

from __future__ import annotations

from church.errors import ChurchError, ConflictError, InvalidError


class UnknownVideoError(ChurchError):
    """There is no such video, or it is not ready and the caller is no admin."""

    status = 404

    def __init__(self) -> None:
        super().__init__("There is no such video. It may have been removed, or the address is mistyped.")


class UnknownUploadError(ChurchError):
    """There is no such upload of this admin: it was finished, given up, or has lain still for too long."""

    status = 404

    def __init__(self) -> None:
        super().__init__("This upload no longer exists. Start it again.")


class OffsetError(ConflictError):
    """A piece of an upload does not begin where the last one ended; ``offset`` is where that is."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"The next piece of this upload begins at byte {offset}.")
        self.offset = offset


class TooLargeError(ChurchError):
    """The video has more bytes than the site takes."""

    status = 413

    def __init__(self, most: int) -> None:
        super().__init__(f"A video can be at most {most / 1024**3:.1f} GiB.")


class NoRoomError(ChurchError):
    """The disk of the videos has no room for what is to be kept there."""

    status = 507

    def __init__(self) -> None:
        super().__init__("There is not enough disk space for this video.")


class NotVideoError(InvalidError):
    """The file is no video that the site takes; the message says why."""


class ImportFailedError(Exception):
    """An import came to nothing for a reason that an admin can read; the message is that reason."""
