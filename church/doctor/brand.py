"""Check the site's own logo, share image and colour."""

from __future__ import annotations

from church.config import Settings
from church.doctor.findings import Finding
from church.services.brand import Brand, make_brand

_BEST_WIDTH, _BEST_HEIGHT = 1200, 630
_SMALLEST_WIDTH, _SMALLEST_HEIGHT = 600, 315
_RATIO_TOLERANCE = 0.1


def check_brand(settings: Settings) -> Finding:
    """Read the files again: they may have changed since the start."""
    try:
        brand = make_brand(settings)
    except ValueError as error:
        return (
            "fail",
            f"a picture no longer works: expected {error}",
            "put it back, or change CHURCH_LOGO or CHURCH_SHARE_IMAGE",
        )
    if problem := _find_share_problem(brand):
        fix = f"use a PNG or JPEG of {_BEST_WIDTH} by {_BEST_HEIGHT} pixels, or remove CHURCH_SHARE_IMAGE"
        return "warn", f"CHURCH_SHARE_IMAGE {problem}", fix
    return "ok", ", ".join((settings.site_name, *_list_parts(settings, brand))), ""


def _find_share_problem(brand: Brand) -> str:
    """What a preview would do to the share image; empty if nothing."""
    share = brand.share_image
    if share is None:
        return ""
    size = f"{share.width} by {share.height} pixels"
    if share.width < _SMALLEST_WIDTH or share.height < _SMALLEST_HEIGHT:
        return f"has {size}: previews show it small, or not at all"
    wanted = _BEST_WIDTH / _BEST_HEIGHT
    return "" if abs(share.width / share.height / wanted - 1) < _RATIO_TOLERANCE else f"has {size}: previews crop it"


def _list_parts(settings: Settings, brand: Brand) -> list[str]:
    parts = []
    if brand.logo is not None:
        parts.append(f"logo {brand.logo.mimetype.removeprefix('image/')} {brand.logo.width} by {brand.logo.height}")
    if settings.accent is not None:
        shown = [f"{it.color} on {kind} pages" for kind, it in (("light", brand.light), ("dark", brand.dark))]
        parts.append(f"accent {settings.accent}, shown as {' and '.join(shown)}")
    return parts
