"""What all sections of the admin area share: the navigation, answers as page or JSON, and who acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Blueprint, Response, flash, jsonify, make_response, redirect, render_template, request

from church.blueprints.admin.plain_data import as_data
from church.errors import wants_json
from church.identity import viewer
from church.services.audit import Actor

bp = Blueprint("admin", __name__, url_prefix="/admin")

_V = TypeVar("_V", bound="Callable[..., Any]")


@dataclass(frozen=True)
class Section:
    """An entry of the admin area's navigation, where lower places come first."""

    place: int
    title: str
    endpoint: str


_sections: list[Section] = []


def section(title: str, place: int) -> Callable[[_V], _V]:
    """Put the decorated view into the navigation."""

    def add(view: _V) -> _V:
        _sections.append(Section(place, title, f"{bp.name}.{view.__name__}"))
        return view

    return add


@bp.context_processor
def _navigation() -> dict[str, Any]:
    return {"sections": sorted(_sections, key=lambda entry: entry.place)}


@bp.after_request
def _keep_private(response: Response) -> Response:
    """Nobody keeps a page of the admin area."""
    response.cache_control.private = True
    response.cache_control.no_store = True
    response.vary.update(("Accept", "Cookie"))
    return response


def answer(template: str, data: dict[str, Any], status: int = 200, **only_html: Any) -> Response:
    """``data`` as the page of ``template``, or as JSON for a client that prefers it; ``only_html`` is for the page."""
    page = None if wants_json() else render_template(template, **data, **only_html)
    response = jsonify(as_data(data)) if page is None else make_response(page)
    response.status_code = status
    return response


def done(words: str, back: str, **data: Any) -> Response:
    """After a change: back to a page that says so in ``words``, or ``data`` with them for a client of JSON."""
    if wants_json():
        return jsonify({"message": words, **as_data(data)})
    flash(words)
    return make_response(redirect(back, 303))


def actor() -> Actor:
    """Who is at work, for the audit log."""
    person = viewer()
    return Actor(person.user_id if person is not None else None, "web", request.remote_addr)
