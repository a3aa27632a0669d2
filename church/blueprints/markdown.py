"""Home, pages, search, Atom feed, sitemap and robots.txt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request
from flask.blueprints import BlueprintSetupState
from markupsafe import Markup
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from church import telemetry
from church.config import current_settings
from church.errors import ChurchError
from church.extensions import db
from church.lib.text import one_line
from church.services import pages, videos
from church.services.access import Reader, outcome_for
from church.services.brand import current_brand
from church.services.pages import (
    FeedItem,
    PageView,
    RenderError,
    TeaserView,
    compose_letters,
    current_pages,
    looks_like_traversal,
    make_json_ld,
)
from church.web import identity
from church.web.file_answers import answer_file
from church.web.headers import add_vary
from church.web.kept_pages import answer_page
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

if TYPE_CHECKING:
    from flask import Flask

bp = Blueprint("markdown", __name__)

_MOST_QUERY = 200
_MOST_TAG = 40
_HOME_VIDEOS = 3
_FOREVER = "public, max-age=31536000, immutable"
# A drawing that is opened by itself is a document: it may not run scripts or load anything, nor be of this site.
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_FRESH_SECONDS = 60  # how long browsers and proxies may show a public page without asking again


@bp.record
def _set_up(state: BlueprintSetupState) -> None:
    pages.init_app(cast("Flask", state.app))
    state.app.add_template_global(_has_page, "has_page")
    state.app.add_template_global(_describe_page, "json_ld")


def _has_page(path: str) -> bool:
    """Whether the content folder has the page at ``path``: templates link no page that the operator has not written."""
    return current_pages().address(path.removeprefix("/pages/")) is not None


def _describe_page(shown: PageView | TeaserView) -> Markup:
    site = current_settings()
    return make_json_ld(shown, site.site_name, site.origin)


@bp.get("/", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
def home() -> Response:
    """Show the newest pages and videos, and the tags."""
    current = current_pages()
    films = tuple(videos.list_newest(_HOME_VIDEOS))
    return _public(answer_page("markdown/home.html", recent=tuple(current.recent()), tags=current.tags(), films=films))


@bp.get("/pages/", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
@limited("search", when=lambda: bool(request.args.get("q")))
def listing() -> AnyResponse:
    """List all pages, those with a tag, or the results of a search. The first of a repeated parameter counts."""
    query = _query_text("q", _MOST_QUERY)
    asked = _query_text("tag", 4 * _MOST_TAG)  # a letter may be written as several
    composed = compose_letters(asked)
    if asked != composed:
        parameters = {"q": query, "tag": composed[:_MOST_TAG]}
        return redirect(f"/pages/?{urlencode({name: text for name, text in parameters.items() if text})}", 301)
    tag = asked[:_MOST_TAG] or None
    current = current_pages()
    reader = identity.reader()
    cards = current.search(db, query, reader, tag, limit=50).cards if query else current.cards(tag, reader)
    films = videos.search_videos(query, reader).videos if query and not tag else ()
    tags = current.tags()
    exists = tag is None or bool(cards) or any(entry.name == tag for entry in tags)
    notice = None if exists else f"No page has the tag “{tag}”."
    context = {"films": films, "tags": tags, "tag": tag, "query": query, "notice": notice}
    if query:
        return _private(make_response(render_template("markdown/list.html", pages=cards, **context)))
    return _public(answer_page("markdown/list.html", pages=tuple(cards), **context))


@bp.get("/pages", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
def without_slash() -> AnyResponse:
    """Redirect to the list. Werkzeug's own redirect would contain the host that the request claims."""
    query = request.query_string.decode("latin-1")
    return redirect(f"/pages/?{query}" if query else "/pages/", 301)


@bp.get("/pages/<path:slug>", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
def page(slug: str) -> AnyResponse:
    """Show a page, or its public part. The slug is looked up, never made into a file path."""
    reader = identity.reader()
    try:
        view = current_pages().read(slug, reader, current_settings().origin)
    except RenderError as error:
        raise ChurchError("This page cannot be shown right now. The error was logged.") from error
    if view is None:
        return _redirect_or_404(slug, reader)
    is_whole = isinstance(view, PageView)
    if not is_whole:
        identity.require_known_viewer()
        identity.remember_refused_page()
    telemetry.track_content_access("page", view.access, outcome_for(reader) if is_whole else "teaser")
    if not is_whole:  # what premium costs is read anew
        return _private(make_response(render_template("markdown/teaser.html", page=view)))
    answer = answer_page("markdown/page.html", page=view)
    return _public(answer) if _is_public(view) else _private(answer)


@bp.get("/pictures/<path:name>", merge_slashes=False)
@allow(EVERYONE)
@limited("stream")
def picture(name: str) -> AnyResponse:
    """Send a picture that a page shows to those who may read the page; to all others there is none.

    A public picture requested with the version that it has can be cached for a year: a new version has a new address.
    """
    found = current_pages().open_picture(name, identity.reader())
    if found is None:
        identity.require_known_viewer()
        if looks_like_traversal(name):
            telemetry.track_security_event("path_traversal", "medium", path=repr(name[:100]))
        raise NotFound
    opened = found.opened
    response = answer_file(opened.file, opened.size, opened.validators, opened.header.content_type)
    if opened.header.content_type == "image/svg+xml":
        response.headers["Content-Security-Policy"] = _SVG_POLICY
    if found.is_public:
        is_version = request.args.get("v") == opened.version.tag
        response.headers["Cache-Control"] = _FOREVER if is_version else f"public, max-age={_FRESH_SECONDS}"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # for feed readers
    else:
        response.headers["Cache-Control"] = "private, no-cache"
        response.vary.add("Cookie")
    return response


@bp.get("/feed.xml", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def feed() -> Response:
    """Serve the Atom feed."""
    site, brand = current_settings(), current_brand()
    about = {"subtitle": brand.description, "icon": brand.icon.address}
    body = current_pages().feed(site.site_name, site.origin, _places(), **about)
    return _public(body, "application/atom+xml; charset=utf-8")


@bp.get("/sitemap.xml", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def sitemap() -> Response:
    """Serve the sitemap."""
    return _public(current_pages().sitemap(current_settings().origin, _places()), "application/xml; charset=utf-8")


@bp.get("/robots.txt", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def robots() -> Response:
    """Serve robots.txt."""
    return _public(current_pages().robots(current_settings().origin), "text/plain; charset=utf-8")


def _places() -> list[FeedItem]:
    """List the newest videos for feed and sitemap, with their public facts only."""
    return [FeedItem(video.url, video.title, video.summary, video.published_at) for video in videos.list_newest()]


def _query_text(name: str, most: int) -> str:
    """Return a query parameter, cut to ``most`` characters; control characters and white space become one space."""
    return one_line(request.args.get(name, "")[:most])


def _is_public(view: PageView | TeaserView) -> bool:
    return view.access == "public" and not view.draft and view.opens is None


def _public(body: Response | str | bytes, content_type: str = "text/html; charset=utf-8") -> Response:
    """Make a response that is the same for all visitors: cached for a minute, then revalidated by ETag.

    The ETag is a hash of the body, so it changes with text, templates and settings. A page rendered for a signed-in
    account, or with a message for this visitor, is private.
    """
    response = make_response(body)
    if isinstance(body, Response) and not identity.is_anonymous():
        return _private(response)
    response.content_type = content_type
    response.headers["Cache-Control"] = f"public, max-age={_FRESH_SECONDS}"
    if response.mimetype == "text/html":
        add_vary(response, "Cookie")
    response.add_etag()
    changed = max(current_pages().modified(), videos.find_last_published(), current_app.extensions["assets"].modified)
    response.last_modified = min(changed, time.time())
    response.make_conditional(request)
    return response


def _private(response: Response) -> Response:
    """Forbid caches to keep the response: a search, a teaser, or a restricted page."""
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _redirect_or_404(slug: str, reader: Reader) -> AnyResponse:
    """Redirect a slug with an extra slash, or with decomposed letters, to its page. Raises NotFound for all others."""
    address = current_pages().address(compose_letters(slug.removesuffix("/")), reader)
    if address is not None:
        return redirect(address, 301)
    telemetry.track_content_access("page", "unknown", "not_found")
    if looks_like_traversal(slug):
        telemetry.track_security_event("path_traversal", "medium", path=repr(slug[:100]))
    raise NotFound
