"""Exceptions that the site raises deliberately; ``web/error_pages`` renders them.

ChurchError
├── UnavailableError   503, something that the site leans on does not answer
│   └── BusyError      503, the site has more of this under way than it takes on
├── ForbiddenError     403, the reader may not
├── UnauthorizedError  401, the caller has not shown who it is
├── ConflictError      409, what is asked for does not go with how things are
└── InvalidError       400, the input is wrong and says how
    └── FieldErrors    422, fields of a form are wrong, and each says how
"""

from __future__ import annotations

# Shown to people by status: what happened, and what to do. The title is the HTTP phrase.
MESSAGES = {
    400: "The request could not be understood. Go back and try once more.",
    401: "This needs a key that was not shown, or that is no longer good.",
    403: "This is not open to you.",
    404: "There is nothing at this address. It may have moved, or the link has a slip in it.",
    405: "This address does not take that kind of request.",
    408: "The request took too long to arrive.",
    409: "That does not go together with how things are now.",
    413: "What was sent is larger than this site takes.",
    415: "This kind of content is not taken here.",
    422: "Some of what was filled in needs another look.",
    429: "That was a lot at once. Wait a little, then go on.",
    500: "Something broke on our side. It has been written down; quote the number below if you ask about it.",
    503: "The site cannot answer this right now. Please come back in a moment.",
}


class ChurchError(Exception):
    """Root of the errors that the site raises on purpose; ``detail`` is shown to the visitor."""

    status = 500

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(detail or MESSAGES.get(self.status, ""))
        self.detail = detail
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """For the log, which no visitor reads."""
        return type(self).__name__


class UnavailableError(ChurchError):
    """Something that the site leans on does not answer; try again after ``retry_after`` seconds."""

    status = 503

    def __init__(self, detail: str | None = None, *, retry_after: int | None = 5) -> None:
        super().__init__(detail, retry_after=retry_after)


class BusyError(UnavailableError):
    """As much of this as the site takes on is under way; a moment later there is room."""

    def __init__(self, detail: str | None = None, *, retry_after: int | None = 2) -> None:
        super().__init__(detail, retry_after=retry_after)


class ForbiddenError(ChurchError):
    """The caller is known well enough, and may not."""

    status = 403


class UnauthorizedError(ChurchError):
    """The caller has not shown who it is, or not well enough: nothing, or a password or token that is no good."""

    status = 401


class ConflictError(ChurchError):
    """Understood and allowed, and it can't be done as things are; ``detail`` says what stands against it."""

    status = 409


class InvalidError(ChurchError):
    """The input is wrong; ``detail`` says how."""

    status = 400


class FieldErrors(InvalidError):  # noqa: N818 - it is many
    """Fields of a form are wrong; ``errors`` says of each by its name how, in words for whoever filled it in."""

    status = 422

    def __init__(self, errors: dict[str, str], detail: str | None = None) -> None:
        super().__init__(detail)
        self.errors = errors
