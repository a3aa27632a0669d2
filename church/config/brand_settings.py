"""Settings of how the site looks and what it says about itself: a base class of ``church.config.Settings``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, field_validator
from pydantic_settings import BaseSettings

from church.config.value_types import HexColor, setting
from church.lib.pictures import read_picture
from church.lib.text import one_line

LOGO_KINDS = ("svg", "png")
LOGO_BYTES = 256 * 1024
SHARE_KINDS = ("png", "jpeg")
SHARE_BYTES = 2 * 1024 * 1024
_TEXTS = ("tagline", "description", "footer")
_FILES = ("logo", "share_image")


def _is_logo(path: Path) -> Path:
    read_picture(path, LOGO_KINDS, LOGO_BYTES)
    return path.absolute()


def _is_share_image(path: Path) -> Path:
    read_picture(path, SHARE_KINDS, SHARE_BYTES)
    return path.absolute()


class BrandSettings(BaseSettings):
    """The site's own words, logo, picture and colour."""

    tagline: str = setting(
        "CHURCH_TAGLINE", "", "Headline of the home page. Default: `Welcome to` and the name.", max_length=120
    )
    description: str = setting(
        "CHURCH_DESCRIPTION",
        "",
        "One or two sentences about the site: below the headline, for search engines and previews, and in the feed.",
        max_length=300,
    )
    logo: Annotated[Path, AfterValidator(_is_logo)] | None = setting(
        "CHURCH_LOGO",
        None,
        "SVG or PNG file, at most 256 KiB: in the header and as the icon. "
        "A PNG of at most 64 KiB is in emails too. Default: the first letter of the name.",
    )
    share_image: Annotated[Path, AfterValidator(_is_share_image)] | None = setting(
        "CHURCH_SHARE_IMAGE",
        None,
        "PNG or JPEG file, at most 2 MiB, best 1200 by 630 pixels: the picture of shared links. Default: a plain one.",
    )
    accent: HexColor | None = setting(
        "CHURCH_ACCENT",
        None,
        "Colour of links, buttons and marks such as `#1d6f5c`. Made darker on light pages and lighter on dark ones "
        "where it could not be read.",
    )
    footer: str = setting("CHURCH_FOOTER", "", "Text in the footer, after the name of the site.", max_length=300)

    @field_validator(*_TEXTS, mode="after")
    @classmethod
    def _on_one_line(cls, value: str) -> str:
        return one_line(value)

    @field_validator(*_FILES, "accent", mode="before")
    @classmethod
    def _empty_brand_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value
