"""The blueprint of the admin area, its navigation, and answers as page or JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, request, url_for

from church.lib.text import write_label, write_plainly
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


@dataclass(frozen=True)
class MenuEntry:
    """A link of the navigation; ``current`` is the value of aria-current, or empty."""

    title: str
    url: str
    current: str


_sections: list[Section] = [
    Section(1000, "Delivery", "delivery.dora")
]  # a blueprint of its own: others may see it, too

bp.add_app_template_filter(write_plainly, "plainly")
bp.add_app_template_filter(write_label, "label")


def section(title: str, place: int) -> Callable[[_V], _V]:
    """Add the decorated view to the navigation."""

    def add(view: _V) -> _V:
        _sections.append(Section(place, title, f"{bp.name}.{view.__name__}"))
        return view

    return add


@bp.app_context_processor
def _navigation() -> dict[str, Any]:
    """Functions for templates/admin/_menu.html, which pages outside of this blueprint show to admins, too."""
    return {"admin_menu": _list_menu, "closed_state": lambda: maintenance.find_state(current_app)}


def _list_menu() -> list[MenuEntry]:
    """List the sections for the page of this request; a page below a section marks it."""
    home = url_for(f"{bp.name}.glance")
    entries = []
    for entry in sorted(_sections, key=lambda one: one.place):
        url = url_for(entry.endpoint)
        below = url != home and request.path.startswith(f"{url}/")
        current = "page" if request.path == url else "true" if below else ""
        entries.append(MenuEntry(entry.title, url, current))
    return entries


def render_answer(template: str, data: dict[str, Any], status: int = 200, **only_html: Any) -> Response:
    """Answer with ``data`` as a page, or as JSON if the client prefers it. Only the page gets ``only_html``."""
    page = None if wants_json() else render_template(template, **data, **only_html)
    response = jsonify(to_json_data(data)) if page is None else make_response(page)
    response.status_code = status
    return response
