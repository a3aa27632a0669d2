"""Read picture files that an operator chose: the type by content, the size in pixels, and nothing that runs code."""

from __future__ import annotations

import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MOST_PIXELS = 8192  # wide or high
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_REFUSED_ELEMENTS = frozenset({"script", "foreignobject", "iframe", "embed", "object", "handler", "listener"})


@dataclass(frozen=True)
class Picture:
    """A picture in memory. An SVG without a ``viewBox`` counts as square."""

    content: bytes
    kind: str
    """``svg``, ``png`` or ``jpeg``."""
    width: int
    height: int


def read_picture(path: Path, kinds: Collection[str], most_bytes: int) -> Picture:
    """Read a picture of one of ``kinds``. Raises ValueError with a reason that completes "expected …"."""
    wanted = f"{' or '.join(kind.upper() for kind in kinds)} file of at most {most_bytes // 1024} KiB"
    try:
        if not path.is_file():
            raise ValueError(f"{wanted}; there is no such file")
        size = path.stat().st_size
        if size > most_bytes:
            raise ValueError(f"{wanted}; it has {size:,} bytes")
        picture = parse_picture(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{wanted}; it cannot be read: {error.strerror}") from None
    if picture.kind not in kinds:
        raise ValueError(f"{wanted}; it is {picture.kind.upper()}")
    return picture


def parse_picture(content: bytes) -> Picture:
    """Find out what a picture is. Raises ValueError for other content, and for an SVG that loads or runs anything."""
    if content.startswith(_PNG):
        kind, (width, height) = "png", _png_size(content)
    elif content.startswith(_JPEG):
        kind, (width, height) = "jpeg", _jpeg_size(content)
    else:
        kind, (width, height) = "svg", _svg_size(content)
    if not (0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS):
        raise ValueError(f"a picture of 1 to {_MOST_PIXELS} pixels a side; it has {width} by {height}")
    return Picture(content, kind, width, height)


def _png_size(content: bytes) -> tuple[int, int]:
    if content[12:16] != b"IHDR" or len(content) < 24:
        raise ValueError("a whole PNG file; it is cut short")
    width, height = struct.unpack(">II", content[16:24])
    return int(width), int(height)


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Read the size in the first start-of-frame segment."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in _STARTS_OF_FRAME:
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        at += 2 + length
    raise ValueError("a whole JPEG file; it is cut short")


class _Svg:
    """Reads an SVG, and refuses all that could run, or load something from elsewhere."""

    def __init__(self) -> None:
        self.root: dict[str, str] | None = None
        self._style: list[str] | None = None

    def refuse_entity(self, *_: Any) -> None:
        raise ValueError("an SVG without entities")

    def open(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2].lower()
        if self.root is None:
            if local != "svg":
                raise ValueError("a picture; it is XML of another kind")
            self.root = attributes
        if local in _REFUSED_ELEMENTS:
            raise ValueError(f"an SVG without <{local}>")
        for attribute, value in attributes.items():
            _check_attribute(attribute.rpartition(":")[2].lower(), value)
        self._style = [] if local == "style" else self._style

    def text(self, data: str) -> None:
        if self._style is not None:
            self._style.append(data)

    def close(self, name: str) -> None:
        if self._style is not None and name.rpartition(":")[2].lower() == "style":
            _check_style("".join(self._style))
            self._style = None


def _check_attribute(name: str, value: str) -> None:
    if name.startswith("on"):
        raise ValueError(f"an SVG without scripts; it has {name}=")
    target = value.strip().lower()
    if name in {"href", "src"} and not target.startswith(("#", "data:image/png", "data:image/jpeg")):
        raise ValueError("an SVG that loads nothing from elsewhere")
    _check_style(value)


def _check_style(text: str) -> None:
    squeezed = re.sub(r"\s+", "", text.lower())
    if "@import" in squeezed or re.search(r"""url\(["']?(?!["']?#)""", squeezed):
        raise ValueError("an SVG that loads nothing from elsewhere")


def _svg_size(content: bytes) -> tuple[int, int]:
    """Check an SVG and return the size of its ``viewBox``, scaled where it is tiny."""
    reader, parser = _Svg(), expat.ParserCreate()
    parser.EntityDeclHandler = reader.refuse_entity
    parser.StartElementHandler = reader.open
    parser.EndElementHandler = reader.close
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(content, True)
    except expat.ExpatError:
        raise ValueError("an SVG, PNG or JPEG; it is none of these") from None
    root = reader.root or {}
    box = [float(part) for part in _NUMBER.findall(root.get("viewBox", ""))]
    found = [_NUMBER.match(root.get(name, "").strip()) for name in ("width", "height")]
    sides = [float(side[0]) if side else 100.0 for side in found]
    if len(box) == 4 and box[2] > 0 and box[3] > 0:
        scale = 100 / min(box[2], box[3])
        sides = [box[2] * scale, box[3] * scale]
    if not all(side <= _MOST_PIXELS for side in sides):
        raise ValueError(f"a picture of 1 to {_MOST_PIXELS} pixels a side; it is longer")
    return round(sides[0]), round(sides[1])
