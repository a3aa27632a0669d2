"""Content folders with pages, and sites that serve them."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from flask import Flask

from church import create_app
from church.config import Settings
from church.services.pages.front_matter import FileVersion, Page, parse_page
from church.services.pages.render import Rendered, render_page
from tests.support.databases import bring_to_head
from tests.support.services_fixture import site_settings

HIDDEN = "zanzibarquartz"  # a word that is only in text closed to the public

CLOSED = f"""The opening of it, with *care*.

## First part

The secret is {HIDDEN}.[^1]

### Deeper

{HIDDEN} again.

[^1]: A note about {HIDDEN}.
"""


def write_page(content: Path, slug: str, body: str = "Some words.", **front: object) -> Path:
    """Write ``content/slug.md``; ``front`` is the front matter, a title by default."""
    path = content / f"{slug}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}: {value}" for name, value in ({"title": slug, "date": "2026-01-02"} | front).items()]
    path.write_text("\n".join(["---", *lines, "---", body]), encoding="utf-8")
    return path


def make_page(body: str, **front: object) -> Page:
    """Make a page without a file."""
    lines = [f"{name}: {value}" for name, value in ({"title": "A page", "date": "2026-01-02"} | front).items()]
    data = "\n".join(["---", *lines, "---", body]).encode()
    return parse_page(FileVersion("made.md", 1_700_000_000_000_000_000, len(data)), data)


def render_body(body: str, **front: object) -> Rendered:
    """Render ``body``."""
    return render_page(make_page(body, **front))


class Elements(HTMLParser):
    """The elements of some HTML, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def attributes_of(html: str, tag: str) -> list[dict[str, str | None]]:
    """List the attributes of each ``tag`` in ``html``."""
    return [attributes for name, attributes in Elements(html).found if name == tag]


def small_library(content: Path) -> None:
    """Write one page for each access level, a nested one, and a draft."""
    write_page(content, "open", "Walnut words.\n\n## Part\n\nMore *walnut*.", title="Open page", tags="[wood, all]")
    write_page(content, "club", CLOSED, title="Club page", access="members", tags="[all]", date="2026-02-01")
    write_page(content, "gold", CLOSED, title="Gold page", access="premium", tags="[all]", date="2026-03-01")
    write_page(
        content, "guide/first", "Nested pinewood.", title="First steps", date="2025-12-01", summary="How it begins"
    )
    write_page(content, "later", "Not yet.", title="Later", draft="true", date="2026-04-01")


def make_site(folder: Path, **settings: object) -> Flask:
    """Make a migrated site with an empty content folder and very high rate limits."""
    return site_app(
        site_settings(folder, CHURCH_LIMIT_PAGE="100000/minute", CHURCH_LIMIT_API="100000/minute", **settings)
    )


def site_app(settings: Settings) -> Flask:
    """Make the app of ``settings``, with a migrated database."""
    bring_to_head(settings)
    app = create_app(settings)
    app.config["RAISE_UNEXPECTED"] = True
    app.testing = True
    return app
