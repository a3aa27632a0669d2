"""The site's own words, mark and colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.lib.colors import measure_contrast, parse_color
from church.services.brand import DARK, LIGHT, Accent, derive_accents, make_brand
from tests.support.pictures import SVG, make_png
from tests.support.services_fixture import site_settings
from tests.support.site_fixture import ROOT

PAPERS = {"light": ("#fcfcfa", "#f4f3ef"), "dark": ("#17161b", "#201f26")}


def assert_readable(accent: Accent, papers: tuple[str, ...]) -> None:
    for ground in (*papers, accent.wash):
        assert measure_contrast(parse_color(accent.color), parse_color(ground)) >= 4.5
    assert measure_contrast(parse_color(accent.on), parse_color(accent.color)) >= 4.5


@given(st.integers(0, 0xFFFFFF).map("#{:06x}".format))
def test_every_accent_can_be_read_on_light_and_on_dark_pages(color: str) -> None:
    light, dark = derive_accents(color)
    assert_readable(light, PAPERS["light"])
    assert_readable(dark, PAPERS["dark"])


def test_accent_that_can_be_read_is_kept_as_it_is() -> None:
    light, dark = derive_accents("#1d6f5c")
    assert light.color == "#1d6f5c"
    assert dark.color != "#1d6f5c"


def test_default_colors_are_those_of_the_stylesheet() -> None:
    css = (ROOT / "static/css/site.css").read_text()
    for name, part in (("accent", "color"), ("on-accent", "on"), ("accent-wash", "wash")):
        assert f"--{name}: light-dark({getattr(LIGHT, part)}, {getattr(DARK, part)});" in css
    for name, at in (("paper", 0), ("raised", 1)):
        assert f"--{name}: light-dark({PAPERS['light'][at]}, {PAPERS['dark'][at]});" in css


@pytest.mark.parametrize(
    ("name", "mark"),
    [("Lantern Club", "L"), ("élan", "É"), ("“1984” fans", "1"), ("灯会", "灯"), ("☂", "☂"), ("ßen", "S")],
)
def test_mark_is_the_first_letter_of_the_name(tmp_path: Path, name: str, mark: str) -> None:
    brand = make_brand(site_settings(tmp_path, CHURCH_SITE_NAME=name))
    assert brand.mark == mark
    assert f">{mark}</text>" in brand.icon.content.decode()


def test_icon_of_a_strange_name_is_still_xml(tmp_path: Path) -> None:
    assert b">&lt;</text>" in make_brand(site_settings(tmp_path, CHURCH_SITE_NAME="<>")).icon.content


def test_logo_is_the_icon_and_only_a_small_png_is_in_emails(tmp_path: Path) -> None:
    vector, small, large = tmp_path / "a.svg", tmp_path / "b.png", tmp_path / "c.png"
    vector.write_text(SVG)
    small.write_bytes(make_png(60, 30))
    large.write_bytes(make_png(60, 30) + bytes(70_000))
    brands = [make_brand(site_settings(tmp_path, CHURCH_LOGO=path)) for path in (vector, small, large)]
    assert [brand.icon is brand.logo for brand in brands] == [True, True, True]
    assert [brand.email_logo is not None for brand in brands] == [False, True, False]


def test_address_changes_with_the_content(tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    addresses = set()
    for width in (60, 61):
        logo.write_bytes(make_png(width, 30))
        addresses.add(make_brand(site_settings(tmp_path, CHURCH_LOGO=logo)).icon.address)
    assert len(addresses) == 2
