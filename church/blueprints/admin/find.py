"""The box on every page of the admin area: go to what an id, an address or a name means, or list what fits."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response, make_response, redirect, url_for

from church.blueprints.admin.area import bp, find_url, list_sections, render_answer
from church.blueprints.admin.list_filters import read_text
from church.config import current_settings
from church.lib.text import one_line
from church.services.admin_overview import Hit, Kind, find_anything
from church.web.error_pages import wants_json
from church.web.forms import read_fields
from church.web.identity import reader
from church.web.rate_limits import limited
from church.web.route_access import ADMINS, allow

_MOST_TEXT = 200
_TITLES = {
    "section": "Section",
    Kind.REQUEST: "Request",
    Kind.TRACE: "Trace",
    Kind.ERROR: "Error",
    Kind.MEMBER: "Member",
    Kind.ADDRESS: "Address",
    Kind.EVENT: "Event",
    Kind.METRIC: "Metric",
    Kind.PAGE: "Page",
}


@dataclass(frozen=True)
class Found:
    """A line of the list."""

    kind: str
    title: str
    url: str
    exact: bool


@bp.get("/find")
@allow(ADMINS)
@limited("page")
def find() -> Response:
    """Find ``q``, or explain what can be found."""
    return _answer(read_text("q", _MOST_TEXT))


@bp.post("/find")
@allow(ADMINS)
@limited("page")
def find_typed() -> Response:
    """Find ``q`` of the form: an email address in it is in no address, and so in no log of a proxy."""
    sent = read_fields()
    return _answer(one_line(sent.text("q", _MOST_TEXT, required=False)))


def _answer(query: str) -> Response:
    """Redirect to the only thing that fits, or to the only one that is exactly what was typed; else list all."""
    found = _list_found(query) if query else []
    exact = [one for one in found if one.exact]
    only = exact[0] if len(exact) == 1 else found[0] if len(found) == 1 else None
    if only is not None and not wants_json():
        return make_response(redirect(only.url, 303))
    return render_answer("admin/find.html", {"query": query, "found": found})


def _list_found(query: str) -> list[Found]:
    sections = [
        Found(_TITLES["section"], title, url, exact=title.lower() == query.lower())
        for title, url in list_sections()
        if title.lower().startswith(query.lower())
    ]
    hits = [(hit, _url_of(hit)) for hit in find_anything(current_settings(), query, reader())]
    found = [Found(_TITLES[hit.kind], hit.title, url, hit.exact) for hit, url in hits if url is not None]
    return sorted([*sections, *found], key=lambda one: not one.exact)


def _url_of(hit: Hit) -> str | None:
    if hit.kind is Kind.PAGE:
        return url_for("markdown.page", slug=hit.value)
    return find_url(hit.kind, hit.value)
