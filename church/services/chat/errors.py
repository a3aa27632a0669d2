"""What can go wrong in the live rooms; ``code`` is what a frame calls it."""

from __future__ import annotations

from church.errors import ChurchError, FieldErrors, ForbiddenError


class UnknownRoomError(ChurchError):
    """No room has this name."""

    status = 404
    code = "unknown_room"

    def __init__(self) -> None:
        super().__init__("There is no such room.")


class UnknownMessageError(ChurchError):
    """No message of the room has this number, or it was deleted."""

    status = 404
    code = "unknown_message"

    def __init__(self) -> None:
        super().__init__("There is no such message, or it was deleted.")


class ClosedRoomError(ForbiddenError):
    """The room is open to others alone."""

    code = "forbidden"


class BannedError(ForbiddenError):
    """An admin has shut the member out of the room."""

    code = "banned"


class MutedError(ForbiddenError):
    """An admin has taken the word from the member."""

    code = "muted"


class NotYoursError(ForbiddenError):
    """The message is somebody else's."""

    code = "not_yours"


class TextError(FieldErrors):
    """What was written can't be said; ``detail`` says why, and so does ``errors`` for the form's field."""

    code = "invalid_message"

    def __init__(self, detail: str, field: str = "message") -> None:
        super().__init__({field: detail}, detail)


class RateLimitedError(ChurchError):
    """The member has said a lot at once; ``retry_after`` says in how many seconds there is room."""

    status = 429
    code = "rate_limited"

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many messages. Wait a moment.", retry_after=seconds)
