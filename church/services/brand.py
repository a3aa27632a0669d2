"""How the site looks: its words, mark, share image and colours, made once from the settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from html import escape

from church.config import Settings
from church.config.brand_settings import LOGO_BYTES, LOGO_KINDS, SHARE_BYTES, SHARE_KINDS
from church.lib.app_context import App, app_state
from church.lib.colors import BLACK, WHITE, Color, mix, parse_color, reach_contrast, to_hex
from church.lib.pictures import Picture, read_picture

ADDRESS = "/brand/"

_EXTENSION = "brand"
_READABLE = 4.6  # WCAG 2.2 AA wants 4.5 for text
_MOST_IN_EMAIL = 64 * 1024  # bytes; every email carries a copy
_TYPES = {"svg": "image/svg+xml", "png": "image/png", "jpeg": "image/jpeg"}
# of static/css/site.css; a test compares them
_LIGHT_GROUNDS: tuple[Color, ...] = ((0xFC, 0xFC, 0xFA), (0xF4, 0xF3, 0xEF))
_DARK_GROUNDS: tuple[Color, ...] = ((0x17, 0x16, 0x1B), (0x20, 0x1F, 0x26))


@dataclass(frozen=True)
class Accent:
    """The accent colour on light or on dark pages, as ``#rrggbb``: text, text on it, and a tint behind text."""

    color: str
    on: str
    wash: str


LIGHT = Accent("#7c1d58", "#ffffff", "#f7eaf2")
DARK = Accent("#eda9cf", "#241019", "#35212f")


@dataclass(frozen=True)
class BrandFile:
    """A file below ``/brand/``. ``address`` changes with its content."""

    name: str
    content: bytes
    mimetype: str
    width: int = 0
    height: int = 0

    @cached_property
    def version(self) -> str:
        """A hash of the content."""
        return hashlib.sha256(self.content).hexdigest()[:12]

    @property
    def address(self) -> str:
        """The path with its version."""
        return f"{ADDRESS}{self.name}?v={self.version}"

    @property
    def cid(self) -> str:
        """The name of its copy in an email (RFC 2392)."""
        return f"{self.version}@brand"


@dataclass(frozen=True)
class Brand:
    """Everything that the templates say or show of the site itself. Empty texts have a neutral default there."""

    tagline: str
    description: str
    footer: str
    mark: str
    """The letter in the place of a logo."""
    light: Accent
    dark: Accent
    icon: BrandFile
    logo: BrandFile | None
    share_image: BrandFile | None
    stylesheet: BrandFile | None
    """Sets the colours of the site. None if they are the default ones."""

    @property
    def email_logo(self) -> BrandFile | None:
        """The logo, if email programs show it: most of them show no SVG."""
        logo = self.logo
        return logo if logo and logo.mimetype == "image/png" and len(logo.content) <= _MOST_IN_EMAIL else None

    def find_file(self, name: str) -> BrandFile | None:
        """Find the file that is served at ``/brand/NAME``."""
        files = (self.icon, self.logo, self.share_image, self.stylesheet)
        return next((file for file in files if file is not None and file.name == name), None)


def init_app(app: App) -> Brand:
    """Make the brand of ``app``. Raises ValueError for a file that changed since the settings were read."""
    brand = app.extensions[_EXTENSION] = make_brand(app.config["CHURCH"])
    return brand


def current_brand() -> Brand:
    """Return the brand of the current app."""
    brand: Brand = app_state()[_EXTENSION]
    return brand


def make_brand(settings: Settings) -> Brand:
    """Make the brand of a site. Raises ValueError if a file is not what its setting wants."""
    light, dark = derive_accents(settings.accent) if settings.accent else (LIGHT, DARK)
    mark = _first_letter(settings.site_name)
    logo = share = None
    if settings.logo is not None:
        logo = _brand_file("logo", read_picture(settings.logo, LOGO_KINDS, LOGO_BYTES))
    if settings.share_image is not None:
        share = _brand_file("share", read_picture(settings.share_image, SHARE_KINDS, SHARE_BYTES))
    return Brand(
        tagline=settings.tagline,
        description=settings.description,
        footer=settings.footer,
        mark=mark,
        light=light,
        dark=dark,
        icon=logo or BrandFile("icon.svg", _draw_icon(mark, light).encode(), _TYPES["svg"]),
        logo=logo,
        share_image=share,
        stylesheet=BrandFile("colors.css", _write_colors(light, dark).encode(), "text/css")
        if settings.accent
        else None,
    )


def derive_accents(accent: str) -> tuple[Accent, Accent]:
    """Derive from one colour those of light and of dark pages, so that all text in or on them can be read."""
    chosen = parse_color(accent)
    return _derive(chosen, _LIGHT_GROUNDS, BLACK, 0.09), _derive(chosen, _DARK_GROUNDS, WHITE, 0.14)


def _derive(chosen: Color, grounds: tuple[Color, ...], toward: Color, tint: float) -> Accent:
    wash = mix(grounds[0], chosen, tint)
    color = reach_contrast(chosen, (*grounds, wash), _READABLE, toward)
    on = WHITE if toward == BLACK else reach_contrast(mix(color, BLACK, 0.85), (color,), _READABLE, BLACK)
    return Accent(to_hex(color), to_hex(on), to_hex(wash))


def _brand_file(name: str, picture: Picture) -> BrandFile:
    return BrandFile(f"{name}.{picture.kind}", picture.content, _TYPES[picture.kind], picture.width, picture.height)


def _first_letter(name: str) -> str:
    return next((character for character in name if character.isalnum()), name[:1]).upper()[:1]


def _draw_icon(letter: str, accent: Accent) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="6" fill="{accent.color}"/>'
        f'<text x="16" y="23" font-family="Georgia,serif" font-size="21" text-anchor="middle" fill="{accent.on}">'
        f"{escape(letter)}</text></svg>"
    )


def _write_colors(light: Accent, dark: Accent) -> str:
    names = {"accent": "color", "on-accent": "on", "accent-wash": "wash"}
    lines = (f"--{name}: light-dark({getattr(light, part)}, {getattr(dark, part)});" for name, part in names.items())
    return f":root {{ {' '.join(lines)} }}\n"
