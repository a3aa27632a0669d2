"""Exceptions that the site raises deliberately. ``church.web.error_pages`` renders them.

ChurchError
├── UnavailableError   503, a service that the site depends on does not answer
│   └── BusyError      503, the site is already doing as much of this as it can
├── UnauthorizedError  401, the caller has not proved who it is
├── ForbiddenError     403, the caller has no access
├── NotFoundError      404, the thing does not exist
├── ConflictError      409, the request conflicts with the current state
└── InvalidError       400, the input is wrong
    └── FieldErrors    422, some form fields are wrong, with a message for each
"""

from __future__ import annotations

# Text of an error page by status: what happened, then what to do. The page's title is the HTTP phrase.
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
    """Root of the exceptions that the site raises deliberately. ``detail`` is shown to the visitor."""

    status = 500

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(detail or MESSAGES.get(self.status, ""))
        self.detail = detail
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """Text for the log only. Visitors do not see it."""
        return type(self).__name__


class UnavailableError(ChurchError):
    """A service that the site depends on does not answer. Try again after ``retry_after`` seconds."""

    status = 503

    def __init__(self, detail: str | None = None, *, retry_after: int | None = 5) -> None:
        super().__init__(detail, retry_after=retry_after)


class BusyError(UnavailableError):
    """The site is already doing as much of this as it can. Try again in a moment."""

    def __init__(self, detail: str | None = None, *, retry_after: int | None = 2) -> None:
        super().__init__(detail, retry_after=retry_after)


class UnauthorizedError(ChurchError):
    """The caller has not proved who it is: a password or token is missing or wrong."""

    status = 401


class ForbiddenError(ChurchError):
    """The caller has no access."""

    status = 403


class NotFoundError(ChurchError):
    """The thing that the request names does not exist, or the caller may not know that it does."""

    status = 404


class ConflictError(ChurchError):
    """The request conflicts with the current state. ``detail`` explains the conflict."""

    status = 409


class InvalidError(ChurchError):
    """The input is wrong. ``detail`` explains how."""

    status = 400


class FieldErrors(InvalidError):  # noqa: N818 - it holds several
    """Some form fields are wrong. ``errors`` maps a field's name to a message for the visitor."""

    status = 422

    def __init__(self, errors: dict[str, str], detail: str | None = None) -> None:
        super().__init__(detail)
        self.errors = errors
