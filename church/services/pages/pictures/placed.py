"""Put the pictures beside a page into its HTML: address, width and height, and what is wrong with the others."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from markupsafe import Markup

from church.services.pages.pictures.files import FoundPicture, PictureError, PictureVersion, fit_size

FindPicture = Callable[[str, str], FoundPicture | None]
"""Finds the picture that a reference in the page at a path means; see ``PictureFolder.find``."""

_MOST_SHOWN = 80  # characters of a reference in a message
# The cleaner writes attributes in double quotes and escapes quotes in them, so a match is always a real tag.
_PICTURE = re.compile(r'<img((?: [\w-]+="[^"]*")*)>')
_ATTRIBUTE = re.compile(r' ([\w-]+)="([^"]*)"')
_ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)


@dataclass
class PlacedPictures:
    """The HTML with pictures, which versions are in it (also those that are missing), and messages for the author."""

    html: str = ""
    versions: dict[str, PictureVersion] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def place_pictures(cleaned: str, page_path: str, find: FindPicture) -> PlacedPictures:
    """Give the pictures in ``cleaned`` their addresses. Of one that cannot be shown its words stay."""
    placed = PlacedPictures()
    placed.html = _PICTURE.sub(lambda tag: _place(tag, page_path, find, placed), cleaned)
    return placed


def _place(tag: re.Match[str], page_path: str, find: FindPicture, placed: PlacedPictures) -> str:
    attributes = {found[1]: found[2] for found in _ATTRIBUTE.finditer(tag[1])}
    reference = html.unescape(attributes.get("src", ""))
    if _ELSEWHERE.match(reference):
        placed.problems[reference[:_MOST_SHOWN]] = "pictures of other sites are not loaded; put it beside the page"
    try:
        found = find(page_path, reference)
    except PictureError as error:
        placed.problems[reference[:_MOST_SHOWN]] = str(error)
        if error.version is not None:  # so that the page is rendered anew when the file changes
            placed.versions.setdefault(error.version.path, error.version)
        words = attributes.get("alt", "")
        return f'<span class="missing-picture">{_escape(words)}</span>' if words.strip() else ""
    if found is None:
        return tag[0]
    placed.versions[found.version.path] = found.version
    size = fit_size(found.header)
    if size is not None and not attributes.keys() & {"width", "height"}:
        attributes["width"], attributes["height"] = map(str, size)
    attributes |= {"src": html.escape(found.version.address), "loading": "lazy", "decoding": "async"}
    return "<img" + "".join(f' {name}="{value}"' for name, value in attributes.items()) + ">"


def _escape(attribute: str) -> str:
    return html.escape(html.unescape(attribute), quote=False)


_OWN_ADDRESS = re.compile(r'(<(?:a|img)(?: [\w-]+="[^"]*")*? (?:href|src)=")(/(?!/)[^"]*")')


def make_addresses_absolute(markup: Markup, origin: str) -> Markup:
    """Write the site's own addresses in a rendered page in full, for feed readers, which show it elsewhere."""
    return Markup(_OWN_ADDRESS.sub(rf"\g<1>{origin}\g<2>", str(markup)))  # noqa: S704 - cleaned before
