"""Errors of the chat; ``code`` is the name that a live error frame gives it."""

from __future__ import annotations

from church.errors import ChurchError, FieldErrors, ForbiddenError, NotFoundError


class UnknownRoomError(NotFoundError):
    """No room has this name."""

    code = "unknown_room"

    def __init__(self) -> None:
        super().__init__("There is no such room.")


class UnknownMessageError(NotFoundError):
    """The room has no message with this number, or it was deleted."""

    code = "unknown_message"

    def __init__(self) -> None:
        super().__init__("There is no such message, or it was deleted.")


class ClosedRoomError(ForbiddenError):
    """The member has no access to the room."""

    code = "forbidden"


class BannedError(ForbiddenError):
    """An admin has banned the member from the room."""

    code = "banned"


class MutedError(ForbiddenError):
    """An admin has muted the member in the room."""

    code = "muted"


class NotYoursError(ForbiddenError):
    """The message is another member's."""

    code = "not_yours"


class TextError(FieldErrors):
    """A text that cannot be taken; ``detail`` gives the reason, ``errors`` the same for the form's field."""

    code = "invalid_message"

    def __init__(self, detail: str, field: str = "message") -> None:
        super().__init__({field: detail}, detail)


class RateLimitedError(ChurchError):
    """The member sends too much at once; try again in ``retry_after`` seconds."""

    status = 429
    code = "rate_limited"

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many messages. Wait a moment.", retry_after=seconds)
