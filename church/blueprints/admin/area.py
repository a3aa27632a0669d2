"""The blueprint of the admin area, its menu, and answers as page or JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, request, url_for

from church.lib.text import write_label, write_plainly
from church.web import maintenance
from church.web.error_pages import wants_json
from church.web.responses import keep_private, to_json_data

bp = Blueprint("admin", __name__, url_prefix="/admin")
bp.after_request(keep_private)

_V = TypeVar("_V", bound="Callable[..., Any]")


class Group(StrEnum):
    """The groups of the menu, in their order."""

    SITE = "Site"
    WATCH = "Watch"
    SYSTEM = "System"


@dataclass(frozen=True)
class Section:
    """An entry of the menu; within its group, lower places come first. ``key`` goes there after a ``g``."""

    title: str
    group: Group
    place: int
    endpoint: str
    key: str = ""


@dataclass(frozen=True)
class MenuEntry:
    """A link of the menu; ``current`` is the value of aria-current, or empty."""

    title: str
    url: str
    current: str
    key: str


_sections: list[Section] = [
    Section("Delivery", Group.SYSTEM, 40, "delivery.dora", "d")
]  # a blueprint of its own: others may see it, too
_found_at: dict[str, tuple[str, str]] = {}

bp.add_app_template_filter(write_plainly, "plainly")
bp.add_app_template_filter(write_label, "label")


def section(title: str, group: Group, place: int, key: str = "") -> Callable[[_V], _V]:
    """Add the decorated view to the menu; the keys ``g`` and ``key`` go there."""

    def add(view: _V) -> _V:
        _sections.append(Section(title, group, place, f"{bp.name}.{view.__name__}", key))
        return view

    return add


def finds(kind: str, argument: str) -> Callable[[_V], _V]:
    """Let the box of the admin area lead to the decorated view with what it found: ``argument`` is its id there."""

    def add(view: _V) -> _V:
        _found_at[kind] = (f"{bp.name}.{view.__name__}", argument)
        return view

    return add


def find_url(kind: str, value: str) -> str | None:
    """Return the address that shows ``value``; None if no page shows this kind."""
    if kind not in _found_at:
        return None
    endpoint, argument = _found_at[kind]
    values: dict[str, Any] = {argument: value}
    return url_for(endpoint, **values)


def list_sections() -> list[tuple[str, str]]:
    """List the titles of the menu with their addresses."""
    return [(entry.title, url_for(entry.endpoint)) for entry in _sections]


@bp.app_context_processor
def _menu() -> dict[str, Any]:
    """Functions for templates/admin/_menu.html, which pages outside of this blueprint show to admins, too."""
    return {"admin_menu": _list_menu, "closed_state": lambda: maintenance.find_state(current_app)}


def _list_menu() -> list[tuple[str, list[MenuEntry]]]:
    """List each group with its sections, for the page of this request; a page below a section marks it."""
    groups: dict[Group, list[MenuEntry]] = {group: [] for group in Group}
    for entry in sorted(_sections, key=lambda one: one.place):
        groups[entry.group].append(_menu_entry(entry))
    return [(group.value, entries) for group, entries in groups.items() if entries]


def _menu_entry(entry: Section) -> MenuEntry:
    url = url_for(entry.endpoint)
    below = url != url_for(f"{bp.name}.glance") and request.path.startswith(f"{url}/")
    return MenuEntry(entry.title, url, "page" if request.path == url else "true" if below else "", entry.key)


def render_answer(template: str, data: dict[str, Any], status: int = 200, **only_html: Any) -> Response:
    """Answer with ``data`` as a page, or as JSON if the client prefers it. Only the page gets ``only_html``."""
    page = None if wants_json() else render_template(template, **data, **only_html)
    response = jsonify(to_json_data(data)) if page is None else make_response(page)
    response.status_code = status
    return response
