"""The site's own look over HTTP, and a renamed site, on which nothing of our words is left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from church.extensions import db
from church.lib.colors import measure_contrast, parse_color
from church.models.accounts import Role
from church.models.base import utc_now
from church.services.brand import current_brand
from church.services.email.compose import TEMPLATES, EmailToSend, compose_message
from church.services.pages import current_pages
from tests.support.pages_fixture import attributes_of, make_site, small_library, write_page
from tests.support.people import add_user, client_of
from tests.support.pictures import SVG, make_jpeg, make_png
from tests.support.site_fixture import ROOT

OURS = re.compile(r".{0,40}(?:bambi|\bChurch\b|self-hosted|built with|pointed window|a membership site)", re.IGNORECASE)
COMMANDS = re.compile(r"flask church|-m church|(__Host-)?church=|church@|church_plan|CHURCH\b")
"""Commands, metadata, the cookie and the sender, which are technical names and keep ours."""
CONTEXT = {
    **{"plan": "Patron", "amount": "$12", "until": "30 May", "day": "30 May", "price": "$12", "premium": False},
    **{"trial": False, "another": False, "count": 2, "rooms": "Lounge", "ends": "", "by_hand": False},
    "errors": [{"error_type": "LookupError", "place": "services/pages.py:find", "is_back": False}],
}
TEXTS = {
    "CHURCH_TAGLINE": "Light for <everyone>",
    "CHURCH_DESCRIPTION": 'Lamps & "lights", old and new.',
    "CHURCH_FOOTER": "Registered charity 12345.",
}


def made_site(folder: Path, **settings: object) -> Iterator[Flask]:
    app = make_site(folder, CHURCH_SITE_NAME="Lantern Club", CHURCH_SITE_URL="https://lantern.example", **settings)
    small_library(folder / "content")
    with app.app_context():
        current_pages().reindex(db)
    yield app
    with app.app_context():
        db.dispose()


@pytest.fixture
def renamed(tmp_path: Path) -> Iterator[Flask]:
    """A site with a name of its own, and no other setting of its look."""
    yield from made_site(tmp_path)


@pytest.fixture
def branded(tmp_path: Path) -> Iterator[Flask]:
    """A site with all settings of its look."""
    (tmp_path / "logo.png").write_bytes(make_png(60, 30))
    (tmp_path / "share.jpg").write_bytes(make_jpeg(1200, 630))
    files = {"CHURCH_LOGO": tmp_path / "logo.png", "CHURCH_SHARE_IMAGE": tmp_path / "share.jpg"}
    yield from made_site(tmp_path, CHURCH_ACCENT="#ffee00", **files, **TEXTS)


def text_of(client: FlaskClient, path: str, **options: object) -> str:
    return client.get(path, **options).get_data(as_text=True)  # type: ignore[arg-type]


def list_paths(app: Flask) -> list[str]:
    """Every address that needs no argument, and one of each other kind."""
    plain = [rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.arguments]
    others = ["/pages/open", "/pages/club", "/pages/gold", "/pages/nowhere", "/pages/?q=walnut", "/pages/?tag=all"]
    return [
        path for path in (*plain, *others, "/live/public", "/live/premium", "/auth/sent/verification") if path != "/ws"
    ]


@pytest.mark.parametrize("role", [None, Role.MEMBER, Role.ADMIN])
def test_renamed_site_has_none_of_our_words_on_any_page(renamed: Flask, role: Role | None) -> None:
    user = add_user(renamed, "ada@lantern.example", role=role.value) if role else None
    client = client_of(renamed, user)
    for path in list_paths(renamed):
        answer = client.get(path, headers={"Accept": "text/html"})
        said = COMMANDS.sub("", f"{answer.headers}\n{answer.get_data(as_text=True)}")
        if path != "/metrics":  # for the operator's machines
            assert OURS.findall(said) == [], path


def compose(app: Flask, template: str) -> EmailMessage:
    letter = EmailToSend(7, template, "ada@example.org", "Ada", CONTEXT, None, utc_now())
    with app.app_context():
        return compose_message(letter)


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_renamed_site_has_none_of_our_words_in_any_email(renamed: Flask, template: str) -> None:
    message = compose(renamed, template)
    for part in message.walk():
        if not part.is_multipart():
            assert OURS.findall(COMMANDS.sub("", part.get_content())) == []
    assert "Lantern Club" in str(message["From"])


def test_no_template_script_or_style_has_our_words() -> None:
    files = [*ROOT.glob("templates/**/*.*"), *ROOT.glob("static/**/*.js"), *ROOT.glob("static/**/*.css")]
    assert len(files) > 100
    for path in files:
        assert OURS.findall(COMMANDS.sub("", path.read_text())) == [], path


def test_footer_links_only_pages_that_exist(renamed: Flask, tmp_path: Path) -> None:
    client = renamed.test_client()
    assert "/pages/terms" not in text_of(client, "/")
    assert "/pages/privacy" not in text_of(client, "/auth/register")
    written = make_site(tmp_path)
    for name in ("terms", "privacy"):
        write_page(tmp_path / "content", name)
    client = written.test_client()
    assert "/pages/terms" in text_of(client, "/")
    assert "/pages/privacy" in text_of(client, "/auth/register")


def test_own_words_are_on_the_home_page_in_previews_and_in_the_feed(branded: Flask) -> None:
    client = branded.test_client()
    home = text_of(client, "/")
    assert "<h1>Light for &lt;everyone&gt;</h1>" in home
    assert "<title>Lantern Club · Light for &lt;everyone&gt;</title>" in home
    meta = {one.get("name") or one.get("property"): one.get("content") for one in attributes_of(home, "meta")}
    assert meta["description"] == meta["og:description"] == TEXTS["CHURCH_DESCRIPTION"]
    assert TEXTS["CHURCH_FOOTER"] in home
    assert "<subtitle>Lamps &amp;" in text_of(client, "/feed.xml")
    assert (meta["og:image:width"], meta["og:image:height"]) == ("1200", "630")
    share = client.get(str(meta["og:image"]).removeprefix("https://lantern.example"))
    assert (share.status_code, share.mimetype) == (200, "image/jpeg")


def test_logo_is_in_the_header_and_the_icon_and_cached_by_its_version(branded: Flask) -> None:
    client = branded.test_client()
    home = text_of(client, "/")
    icon = next(one["href"] for one in attributes_of(home, "link") if one["rel"] == "icon")
    assert icon in {one["src"] for one in attributes_of(home, "img")}
    answer = client.get(str(icon))
    assert (answer.data, answer.mimetype) == (make_png(60, 30), "image/png")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get("/brand/logo.png?v=other").headers["Cache-Control"] == "public, max-age=300"
    assert client.get("/brand/logo.png", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert client.get("/brand/logo.svg").status_code == 404


def test_svg_opened_as_a_page_may_run_nothing(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text(SVG)
    app = next(made_site(tmp_path, CHURCH_LOGO=tmp_path / "logo.svg"))
    answer = app.test_client().get("/brand/logo.svg")
    assert answer.mimetype == "image/svg+xml"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy


def test_accent_is_readable_on_every_page_and_in_emails(branded: Flask) -> None:
    client = branded.test_client()
    sheets = [str(one["href"]) for one in attributes_of(text_of(client, "/"), "link") if one["rel"] == "stylesheet"]
    own = next(sheet for sheet in sheets if sheet.startswith("/brand/"))
    assert sheets.index(own) > sheets.index(next(sheet for sheet in sheets if "site.css" in sheet))
    answer = client.get(own)
    assert answer.content_type == "text/css; charset=utf-8"
    light, dark = re.search(r"--accent: light-dark\((#\w+), (#\w+)\)", answer.text).groups()  # type: ignore[union-attr]
    assert measure_contrast(parse_color(light), parse_color("#fcfcfa")) >= 4.5
    assert measure_contrast(parse_color(dark), parse_color("#17161b")) >= 4.5
    page = compose(branded, "verify").get_body(("html",))
    assert page is not None
    assert f"background:{light}" in page.get_content()
    assert "#7c1d58" not in page.get_content()


def test_png_logo_is_inside_the_email(branded: Flask) -> None:
    message = compose(branded, "verify")
    page = message.get_body(("html",))
    assert page is not None
    cid = re.search(r'src="cid:([^"]+)"', page.get_content())
    assert cid is not None
    logo = next(part for part in message.walk() if part.get_content_type() == "image/png")
    assert logo["Content-ID"] == f"<{cid[1]}>"
    assert logo.get_content() == make_png(60, 30)


def test_site_without_own_colors_has_no_extra_stylesheet(renamed: Flask) -> None:
    assert "/brand/colors.css" not in text_of(renamed.test_client(), "/")
    with renamed.app_context():
        assert replace(current_brand(), tagline="x").find_file("colors.css") is None
