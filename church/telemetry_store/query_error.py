"""What stops a query: a code that programs understand, and a sentence for people."""

from __future__ import annotations

from typing import Literal

Code = Literal["bad_request", "busy", "timeout", "too_large", "unavailable"]


class QueryError(Exception):
    """A query that failed. ``code`` is one of ``Code``, ``detail`` a sentence for people."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: Code = code
        self.detail = detail
