"""Ask an app for its commonest pages once before the processes that serve it are forked.

Code that has run once is in its final form in memory: modules that are imported at first use, templates, the
interpreter's caches. Forked processes then share it, and their first pages are fast. A rehearsal leaves no record,
count, limit or connection behind, and no state of the app: what was true then may be long over when a process is
forked. A page that fails is left out, for whatever reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import copy_context

from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from church import telemetry
from church.config import Settings
from church.extensions import db, store
from church.services import billing, pages
from church.web import maintenance, rate_limits

_PATHS = (
    *("/", "/pages/", "/video/", "/stripe/pricing", "/auth/login", "/auth/register"),
    *("/feed.xml", "/sitemap.xml", "/robots.txt", "/health", "/ready", "/rehearsal-of-a-missing-page"),
)
_ROUNDS = 3  # Python 3.11 adapts code within a few runs
_ARTICLE = re.compile(rb'href="(/pages/[^"?#/]+)"')


def rehearse(app: Flask) -> None:
    """Ask for the pages, outside of telemetry and limits, without network."""
    with suppress(Exception):  # it only saves time and memory
        copy_context().run(_rehearse, app)


@contextmanager
def _passing_state(app: Flask) -> Iterator[None]:
    """Forget what the pages of the block keep for the app: that is for the processes that serve it."""
    before = dict(app.extensions)
    try:
        yield
    finally:
        app.extensions.clear()
        app.extensions.update(before)
        pages.init_app(app)


def load_what_comes_later(settings: Settings) -> None:
    """Import what no page of the rehearsal needs, and every process will."""
    if settings.payments:
        billing.load_sdk()


def _rehearse(app: Flask) -> None:
    with (
        _passing_state(app),
        telemetry.unrecorded(),
        rate_limits.unlimited(app),
        maintenance.unwatched(app),
        store.client_of(app).out_of_reach(),
        db.local_only(app),
        _resting_pages(app),
    ):
        for _ in range(_ROUNDS):
            article = _ARTICLE.search(_ask(app, "/", encoding="identity"))
            for path in (*_PATHS, *([article[1].decode()] if article else [])):
                _ask(app, path)


def _resting_pages(app: Flask) -> AbstractContextManager[None]:
    with app.app_context():
        return pages.current_pages().resting()


def _ask(app: Flask, path: str, encoding: str = "br, gzip") -> bytes:
    """Answer a visitor's request below the middleware that observes it."""
    environ = EnvironBuilder(path, headers=[("Accept-Encoding", encoding)]).get_environ()
    with suppress(Exception):
        chunks, _status, _headers = run_wsgi_app(lambda *call: Flask.wsgi_app(app, *call), environ, buffered=True)
        return b"".join(chunks)
    return b""
