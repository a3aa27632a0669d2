"""Home, pages, search, Atom feed, sitemap and robots.txt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, render_template, request
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
    ALL_TOPICS,
    MOST_TOPICS,
    FeedItem,
    FoundPages,
    PageAddresses,
    PageView,
    RenderError,
    TeaserView,
    choose_most_used,
    compose_letters,
    current_pages,
    find_sitemap_file,
    list_topics,
    looks_like_traversal,
    make_json_ld,
)
from church.web import answer_cache, identity
from church.web.file_answers import answer_file
from church.web.kept_pages import answer_page
from church.web.list_parts import PART_PARAMETERS, AskedPart, PartLinks, make_choices, make_links, read_part
from church.web.public_answers import FRESH_SECONDS, publish
from church.web.rate_limits import limited
from church.web.route_access import EVERYONE, allow

if TYPE_CHECKING:
    from flask import Flask

bp = Blueprint("markdown", __name__)

_MOST_QUERY = 200
_MOST_TAG = 40
_MOST_START_DIGITS = 4
PAGE_SIZE = 50  # pages in a part of the list
RESULTS = 20  # pages in a part of the results of a search
_MOST_FILMS = 6
_MOST_AT_ONCE = 256 * 1024  # bytes of a sitemap that is sent as one text
_XML = "application/xml; charset=utf-8"
_HOME_VIDEOS = 3
_FOREVER = "public, max-age=31536000, immutable"
# A drawing that is opened by itself is a document: it may not run scripts or load anything, nor be of this site.
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@bp.record
def _set_up(state: BlueprintSetupState) -> None:
    app = cast("Flask", state.app)
    pages.init_app(app)
    answer_cache.depends_on(app, "pages", lambda: app.extensions["pages"].version())  # noqa: PLW0108 - set anew
    state.app.add_template_global(_has_page, "has_page")
    state.app.add_template_global(_describe_page, "json_ld")


def _has_page(path: str) -> bool:
    """Whether the content folder has the page at ``path``: templates link no page that the operator has not written."""
    return current_pages().has_page(path.removeprefix("/pages/"))


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
    tags = current.tags()
    topics = {"topics": choose_most_used(tags), "more_topics": len(tags) > MOST_TOPICS}
    return _public(answer_page("markdown/home.html", recent=tuple(current.recent()), films=films, **topics))


@bp.get("/pages/", merge_slashes=False)
@allow(EVERYONE)
@limited("page")
@limited("search", when=lambda: bool(request.args.get("q")))
def listing() -> AnyResponse:
    """List the pages in parts, newest first: all, or those with a tag; or the results of a search; or all topics.

    Query: ``tag``, and ``after``, ``before`` or ``month`` for a part; ``q`` for a search, and ``start`` for more of its
    results; ``tags`` for the topics, by letter. The first of a repeated parameter counts.
    """
    query = _query_text("q", _MOST_QUERY)
    asked = _query_text("tag", 4 * _MOST_TAG)  # a letter may be written as several
    composed = compose_letters(asked)
    if asked != composed:
        parameters = {"q": query, "tag": composed[:_MOST_TAG]}
        return redirect(f"/pages/?{urlencode({name: text for name, text in parameters.items() if text})}", 301)
    tag = asked[:_MOST_TAG] or None
    if query:
        return _search(query, tag)
    if topics := _query_text("tags", _MOST_TAG):
        return _topics(topics)
    return _list(tag, read_part())


def _list(tag: str | None, asked: AskedPart) -> AnyResponse:
    current = current_pages()
    reader = identity.reader()
    try:
        part = current.part(asked.after, asked.before, tag=tag, limit=PAGE_SIZE, from_day=asked.from_day, reader=reader)
    except ValueError:
        raise NotFound from None
    if not part.cards and not asked.is_first:
        raise NotFound
    links = make_links("/pages/", asked, previous=part.previous, next=part.next, tag=tag)
    if asked.before is not None and part.previous is None:
        return redirect(links.first or "/pages/")  # whole, from its beginning
    context = {
        "pages": tuple(part.cards),
        "total": part.total,
        "tag": tag,
        "topics": choose_most_used(current.tags()),
        "more_topics": len(current.tags()) > MOST_TOPICS,
        "is_first": asked.is_first,
        "links": links,
        "choices": make_choices(current.months(tag)) if part.next or part.previous else (),
        "chosen": asked.month,
    }
    if not part.cards and tag is not None:
        return _private(make_response(render_template("markdown/list.html", **context), 404))
    return _public(answer_page("markdown/list.html", **context), reads=("tag", *PART_PARAMETERS))


def _search(query: str, tag: str | None) -> Response:
    start, reader, current = _read_start(), identity.reader(), current_pages()
    found = current.search(db, query, reader, tag, offset=start, limit=RESULTS)
    films = videos.search_videos(query, reader, limit=_MOST_FILMS) if not (tag or start) else None
    context = {
        "pages": found.cards,
        "start": start,
        "most": found.most,
        "films": films.videos if films is not None else (),
        "more_films": films is not None and films.next is not None,
        "tag": tag,
        "query": query,
        "topics": choose_most_used(current.tags()),
        "more_topics": len(current.tags()) > MOST_TOPICS,
        "links": _result_links(query, tag, start, found),
    }
    return _private(make_response(render_template("markdown/search.html", **context)))


def _result_links(query: str, tag: str | None, start: int, found: FoundPages) -> PartLinks:
    def address(place: int | None) -> str:
        parameters = {"q": query, "tag": tag, "start": place}
        return f"/pages/?{urlencode({name: value for name, value in parameters.items() if value})}"

    return PartLinks(
        here=address(start),
        first=address(None) if start else None,
        previous=address(found.previous) if found.previous is not None else None,
        next=address(found.next) if found.next is not None else None,
    )


def _read_start() -> int:
    """Read how many results were shown before. Raises NotFound."""
    start = request.args.get("start") or "0"
    if not (start.isascii() and start.isdigit()) or len(start) > _MOST_START_DIGITS:
        raise NotFound
    return int(start)


def _topics(letter: str) -> Response:
    asked = read_part()
    part = list_topics(current_pages().tags(), letter, asked.after)
    if part is None or (not part.topics and not asked.is_first) or (asked.before or asked.month):
        raise NotFound
    context = {
        "topics": part.topics,
        "letters": part.letters,
        "letter": None if letter == ALL_TOPICS else next(one for one in part.letters if one.key == letter),
        "links": make_links("/pages/", asked, previous=None, next=part.next, tags=letter),
    }
    return _public(answer_page("markdown/topics.html", **context), reads=("tags", *PART_PARAMETERS))


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
    is_current = current_pages().watch_files(slug) if answer_cache.is_wanted() else None
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
    outcome = outcome_for(reader) if is_whole else "teaser"
    answer_cache.repeat(telemetry.track_content_access, "page", view.access, outcome)
    if not is_whole:  # what premium costs is read anew
        return _private(make_response(render_template("markdown/teaser.html", page=view)))
    answer = answer_page("markdown/page.html", page=view)
    return _public(answer, is_current=is_current) if _is_public(view) else _private(answer)


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
        response.headers["Cache-Control"] = _FOREVER if is_version else f"public, max-age={FRESH_SECONDS}"
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
    is_current = current_pages().watch_files() if answer_cache.is_wanted() else None
    about = {"subtitle": brand.description, "icon": brand.icon.address}
    body = current_pages().feed(site.site_name, site.origin, _places(), **about)
    return _public(body, "application/atom+xml; charset=utf-8", is_current=is_current)


@bp.get("/sitemap.xml", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def sitemap() -> Response:
    """Serve the sitemap, or beyond 50,000 addresses the index of its files."""
    return _send_sitemap(None)


@bp.get("/sitemap-<int:number>.xml", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def sitemap_file(number: int) -> Response:
    """Serve one file of the sitemap's index."""
    return _send_sitemap(number)


def _send_sitemap(number: int | None) -> Response:
    sources = (PageAddresses(current_pages()), videos.VideoAddresses())
    file = find_sitemap_file(sources, current_settings().origin, number)
    if file is None:
        raise NotFound
    if file.size <= _MOST_AT_ONCE:
        return _public(b"".join(file.unpack()), _XML)
    # Sent as it is kept, or unpacked piece by piece for the few that do not read gzip.
    is_gzip = request.accept_encodings["gzip"] > 0
    response = Response(file.gzipped if is_gzip else file.unpack(), content_type=_XML)
    response.content_length = len(file.gzipped) if is_gzip else file.size
    if is_gzip:
        response.content_encoding = "gzip"
    response.set_etag(f"{file.digest}:gzip" if is_gzip else file.digest)
    response.vary.add("Accept-Encoding")
    return publish(response)


@bp.get("/robots.txt", merge_slashes=False)
@allow(EVERYONE)
@limited("api")
def robots() -> Response:
    """Serve robots.txt."""
    return _public(current_pages().robots(current_settings().origin), "text/plain; charset=utf-8")


def _places() -> list[FeedItem]:
    """List the newest videos for the feed, with their public facts only."""
    return [FeedItem(video.url, video.title, video.summary, video.published_at) for video in videos.list_newest()]


def _query_text(name: str, most: int) -> str:
    """Return a query parameter, cut to ``most`` characters; control characters and white space become one space."""
    return one_line(request.args.get(name, "")[:most])


def _is_public(view: PageView | TeaserView) -> bool:
    return view.access == "public" and not view.draft and view.opens is None


def _public(
    body: Response | str | bytes,
    content_type: str = "text/html; charset=utf-8",
    *,
    reads: tuple[str, ...] = (),
    is_current: Callable[[], bool] | None = None,
) -> Response:
    """Make a response that is the same for all visitors.

    A page rendered for a signed-in account, or with a message for this visitor, is private.

    ``reads`` are the query parameters that the body depends on. ``is_current`` says, where it is not enough to look at
    pages, videos and static files, whether the body would be the same now.
    """
    response = make_response(body)
    if isinstance(body, Response) and not identity.is_anonymous():
        return _private(response)
    response.content_type = content_type
    response = publish(response)
    answer_cache.offer(*reads, is_current=is_current)
    return response


def _private(response: Response) -> Response:
    """Forbid caches to keep the response: a search, a teaser, or a restricted page."""
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _redirect_or_404(slug: str, reader: Reader) -> AnyResponse:
    """Redirect a slug with an extra slash, or with decomposed letters, to its page. Raises NotFound for all others.

    Among those is a page whose file went just now, which the library still has.
    """
    proper = compose_letters(slug.removesuffix("/"))
    address = current_pages().address(proper, reader) if proper != slug else None
    if address is not None:
        return redirect(address, 301)
    telemetry.track_content_access("page", "unknown", "not_found")
    if looks_like_traversal(slug):
        telemetry.track_security_event("path_traversal", "medium", path=repr(slug[:100]))
    raise NotFound
