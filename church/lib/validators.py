"""HTTP validators of a file: the entity tag and the last change, which tell two versions apart (RFC 9110, 8.8)."""

from __future__ import annotations

from dataclasses import dataclass

from werkzeug.http import http_date


@dataclass(frozen=True)
class Validators:
    """A strong entity tag, without quotes, and the time of the last change."""

    etag: str
    modified: float
    """Seconds since 1970."""

    @property
    def last_modified(self) -> str:
        """``modified`` as an HTTP date, in whole seconds."""
        return http_date(int(self.modified))
