"""The blueprint of the admin area, its navigation, and answers as page or JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template

from church.web import maintenance
from church.web.error_pages import wants_json
from church.web.responses import keep_private, to_json_data

bp = Blueprint("admin", __name__, url_prefix="/admin")
bp.after_request(keep_private)

_V = TypeVar("_V", bound="Callable[..., Any]")


@dataclass(frozen=True)
class Section:
    """An entry of the navigation; lower places come first."""

    place: int
    title: str
    endpoint: str


_sections: list[Section] = []


def section(title: str, place: int) -> Callable[[_V], _V]:
    """Add the decorated view to the navigation."""

    def add(view: _V) -> _V:
        _sections.append(Section(place, title, f"{bp.name}.{view.__name__}"))
        return view

    return add


@bp.context_processor
def _navigation() -> dict[str, Any]:
    """The sections, and what closes the site: each page of the area says so."""
    closed = maintenance.find_state(current_app)
    return {"sections": sorted(_sections, key=lambda entry: entry.place), "closed": closed}


def render_answer(template: str, data: dict[str, Any], status: int = 200, **only_html: Any) -> Response:
    """Answer with ``data`` as a page, or as JSON if the client prefers it. Only the page gets ``only_html``."""
    page = None if wants_json() else render_template(template, **data, **only_html)
    response = jsonify(to_json_data(data)) if page is None else make_response(page)
    response.status_code = status
    return response
