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
    400: "The request is invalid. Go back and try again.",
    401: "This needs a valid token. Yours is missing or no longer works.",
    403: "You do not have access to this.",
    404: "There is nothing at this address. It may have moved, or the link is mistyped.",
    405: "This address does not accept this kind of request.",
    408: "The request took too long to arrive. Try again.",
    409: "This conflicts with a recent change. Reload the page and try again.",
    413: "This is larger than the site accepts.",
    415: "This type of content is not accepted.",
    422: "Some fields need to be corrected.",
    429: "Too many requests. Wait a moment, then try again.",
    500: "Something went wrong on our side. The error was logged. Quote the request ID below if you contact us.",
    503: "The site cannot answer right now. Try again in a moment.",
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
