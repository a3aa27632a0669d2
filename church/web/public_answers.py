"""Answers that are the same for all visitors: caches may keep them for a minute, then ask again."""

from __future__ import annotations

import time

from flask import Response, current_app, request

from church.services import videos
from church.services.pages import current_pages
from church.web.headers import add_vary

FRESH_SECONDS = 60  # how long browsers and proxies may show a public answer without asking again


def publish(response: Response) -> Response:
    """Let caches keep ``response``, and answer 304 to those that have it.

    The ETag is a hash of the body unless one is set, so it changes with text, templates and settings. While a first
    look at the content folder is under way, lists and feed are not whole, and no cache may keep them.
    """
    if not current_pages().is_complete():
        response.headers["Cache-Control"] = "no-store"
        return response
    response.headers["Cache-Control"] = f"public, max-age={FRESH_SECONDS}"
    if response.mimetype == "text/html":
        add_vary(response, "Cookie")
    response.add_etag()
    changed = max(current_pages().modified(), videos.find_last_published(), current_app.extensions["assets"].modified)
    response.last_modified = min(changed, time.time())
    response.make_conditional(request)
    return response
