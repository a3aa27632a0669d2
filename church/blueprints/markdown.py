"""The pages as a visitor, a feed reader and a crawler meet them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.config import current_settings
from church.errors import ChurchError
from church.extensions import db
from church.lib.text import one_line
from church.services import pages, videos
from church.services.pages import PageView, Place, RenderError, TeaserView, site_pages
from church.services.pages.library import looks_like_traversal
from church.services.pages.presenters import json_ld
from church.services.videos import library
from church.web import identity
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

if TYPE_CHECKING:
    from flask import Flask

bp = Blueprint("markdown", __name__)

_MOST_QUERY = 200
_MOST_TAG = 40
_HOME_VIDEOS = 3
_FRESH_SECONDS = 60  # how long a browser or proxy may show a public page without asking again


@bp.record
def _set_up(state: BlueprintSetupState) -> None:
    pages.init_app(cast("Flask", state.app))


@bp.get("/", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
def home() -> Response:
    """The newest pages and videos, and the tags."""
    shelf = site_pages()
    films = library.newest(_HOME_VIDEOS)
    return _public(render_template("markdown/home.html", recent=shelf.recent(), tags=shelf.tags(), films=films))


@bp.get("/pages/", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
@limited("search", when=lambda: bool(request.args.get("q")))
def listing() -> Response:
    """All pages, those with a tag, or those that a search finds. Of a repeated parameter the first is taken."""
    query = _typed("q", _MOST_QUERY)
    tag = _typed("tag", _MOST_TAG) or None
    shelf = site_pages()
    shown = shelf.search(db, query, identity.reader(), tag) if query else shelf.cards(tag)
    films = videos.search(query, identity.reader()) if query and not tag else ()
    tags = shelf.tags()
    known = tag is None or any(entry.name == tag for entry in tags)
    notice = None if known else f"No page has the tag “{tag}”."
    context = {"pages": shown, "films": films, "tags": tags, "tag": tag, "query": query, "notice": notice}
    body = render_template("markdown/list.html", **context)
    return _private(body) if query else _public(body)


@bp.get("/pages", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
def without_slash() -> AnyResponse:
    """To the list; Werkzeug's own redirect would name the host that the request claims."""
    query = request.query_string.decode("latin-1")
    return redirect(f"/pages/?{query}" if query else "/pages/", 301)


@bp.get("/pages/<path:slug>", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
def page(slug: str) -> AnyResponse:
    """One page: whole, or the part that is open to everybody. The slug is looked up, never made into a path."""
    site = current_settings()
    try:
        found = site_pages().read(slug, identity.reader(), site.origin)
    except RenderError as error:
        raise ChurchError("This page cannot be shown right now. The error was logged.") from error
    if found is None:
        return _elsewhere(slug)
    whole = isinstance(found, PageView)
    if not whole:
        identity.insist()
    telemetry.track_content_access("page", found.access, "granted" if whole else "teaser")
    template = "markdown/page.html" if whole else "markdown/teaser.html"
    body = render_template(template, page=found, json_ld=json_ld(found, site.site_name, site.origin))
    return _public(body) if _is_everyones(found) else _private(body)


@bp.get("/feed.xml", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def feed() -> Response:
    """The Atom feed."""
    site = current_settings()
    return _public(site_pages().feed(site.site_name, site.origin, _places()), "application/atom+xml; charset=utf-8")


@bp.get("/sitemap.xml", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def sitemap() -> Response:
    """The sitemap."""
    return _public(site_pages().sitemap(current_settings().origin, _places()), "application/xml; charset=utf-8")


@bp.get("/robots.txt", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def robots() -> Response:
    """What crawlers may do."""
    return _public(site_pages().robots(current_settings().origin), "text/plain; charset=utf-8")


def _places() -> list[Place]:
    """The videos as feed and sitemap name them: what is open to everybody of each."""
    return [Place(one.url, one.title, one.summary, one.published_at) for one in library.newest()]


def _typed(name: str, most: int) -> str:
    """What was typed for ``name``: bounded, its control characters and runs of white space one space each."""
    return one_line(request.args.get(name, "")[:most])


def _is_everyones(found: PageView | TeaserView) -> bool:
    return found.access == "public" and not found.draft


def _public(body: str | bytes, content_type: str = "text/html; charset=utf-8") -> Response:
    """A response that is the same for everybody: cached for a minute, then asked for by ETag.

    The ETag is made of the body, so it follows text, templates and settings alike. A page that was rendered for
    somebody in particular is private, and one that says what they just did.
    """
    if isinstance(body, str) and content_type.startswith("text/html") and not identity.is_stranger():
        return _private(body)
    response = make_response(body)
    response.content_type = content_type
    response.cache_control.public = True
    response.cache_control.max_age = _FRESH_SECONDS
    if response.mimetype == "text/html":
        response.vary.add("Cookie")
    response.add_etag()
    changed = max(site_pages().modified(), library.modified(), current_app.extensions["assets"].modified)
    response.last_modified = min(changed, time.time())
    response.make_conditional(request)
    return response


def _private(body: str) -> Response:
    """A response that nobody may keep: a search, a teaser, or what only some may read."""
    response = make_response(body)
    response.cache_control.private = True
    response.cache_control.no_store = True
    return response


def _elsewhere(slug: str) -> AnyResponse:
    """Where a slug that is no page's leads: with a slash too many to the page. Raises NotFound."""
    known = site_pages().address(slug.removesuffix("/"))
    if known is not None:
        return redirect(known, 301)
    telemetry.track_content_access("page", "unknown", "not_found")
    if looks_like_traversal(slug):
        telemetry.track_security_event("path_traversal", "medium", path=repr(slug[:100]))
    raise NotFound
