"""The videos as strangers, members and subscribers meet them: the shelf, the watch page, small files, positions."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask

from church.blueprints import video
from church.config import Settings, current_settings
from church.database.errors import DatabaseDownError
from church.extensions import db
from church.models import Grant, Rendition, User, Video
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import videos
from church.services.audit import Actor
from church.services.videos import library as videos_library
from church.services.videos.storage import local
from tests.support.browsing import JSON, Browser, follow
from tests.support.helpers import grows
from tests.support.people import add_user
from tests.support.video_fixture import add_ready

CONSOLE = Actor(None, "cli")
WORDS = "A walk *through* the nave."


@pytest.fixture
def site(app: Flask) -> Flask:
    """A site with a video of each level, the one for members with captions, chapters and pictures."""
    with app.app_context():
        add_ready("open", access_level="public")
        add_ready("house", access_level="members", description=WORDS, has_poster=True, has_thumbs=True)
        add_ready("talk", access_level="premium", description="<b>Hello</b>")
        house = ref_of("house")
        for name in (videos.POSTER, videos.SPRITE, videos.THUMBS):
            (local.folder_of(current_settings(), house) / name).write_bytes(f"bytes of {name}".encode())
        videos.add_caption(house, "en", "English", b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n", CONSOLE, default=True)
        videos.set_chapters(house, "0:00 The door\n0:30 The nave", CONSOLE)
    return app


def ref_of(slug: str) -> str:
    with db.read() as session:
        return session.query(Video).filter_by(slug=slug).one().ref


def subscriber(app: Flask) -> User:
    user = add_user(app, "sub@church.example")
    with app.app_context(), db.write() as session:
        until = utc_now() + timedelta(days=1)
        session.add(Grant(user_id=user.id, until=until, reason="a guest", created_at=utc_now()))
    return user


def source_in(page: str) -> str | None:
    found = re.search(r'<video[^>]* src="([^"]+)"', page)
    return found[1].replace("&amp;", "&") if found else None


def test_shelf_shows_every_ready_video_to_everyone_and_no_other(site: Flask) -> None:
    with site.app_context():
        add_ready("secret", state="working", published_at=None)
    page = Browser(site).get("/video/")
    assert page.status_code == 200
    assert [f'href="/video/{slug}"' in page.text for slug in ("open", "house", "talk", "secret")] == [1, 1, 1, 0]
    assert page.headers["Cache-Control"] == "private, no-store"
    assert Browser(site).get("/video/secret").status_code == 404


def test_long_shelf_is_shown_in_pages(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "PAGE", 1)
    browser = Browser(site)
    seen: list[str] = []
    address = "/video/"
    while address:
        page = browser.get(address).text
        seen += re.findall(r'tape-title"><a href="/video/(\w+)"', page)
        address = next(iter(re.findall(r'href="([^"]+)" rel="next"', page)), "")
    with site.app_context():
        assert seen == [one.slug for one in videos.listing()]
    assert [browser.get(f"/video/?page={number}").status_code for number in ("0", "x", "4", "9999")] == [
        200,
        200,
        404,
        404,
    ]


@pytest.mark.parametrize(
    ("who", "opened"),
    [(None, ["open"]), ("unverified", ["open"]), ("member", ["open", "house"]), ("sub", ["open", "house", "talk"])],
)
def test_watch_page_has_a_player_for_who_may_watch_and_a_way_in_for_others(
    site: Flask, who: str | None, opened: list[str]
) -> None:
    user = subscriber(site) if who == "sub" else add_user(site, verified=who == "member") if who else None
    browser = Browser(site, user)
    for slug in ("open", "house", "talk"):
        page = browser.get(f"/video/{slug}")
        assert (page.status_code, source_in(page.text) is not None) == (200, slug in opened), slug
        assert ("way-in" in page.text) == (slug not in opened)
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "private, no-store"


def test_teaser_shows_poster_and_description_and_nothing_of_what_is_inside(site: Flask) -> None:
    page = Browser(site).get("/video/house").text
    assert "/video/assets/house/poster.jpg" in page
    assert "A walk <em>through</em> the nave." in page
    assert '/auth/login?next=/video/house"' in page
    assert [word in page for word in ("The door", "captions-en.vtt", "thumbs.vtt", "token=")] == [False] * 4
    assert "See plans" in Browser(site, add_user(site)).get("/video/talk").text


def test_address_in_the_page_streams_to_its_member_alone(site: Flask) -> None:
    member = Browser(site, add_user(site))
    source = source_in(member.get("/video/house").text)
    assert source is not None
    with member.get(source) as stream:
        assert stream.data == b"0123456789"
    assert Browser(site).get("/video/access/house", headers=JSON).status_code == 401


def test_player_is_told_of_captions_chapters_and_pictures(site: Flask) -> None:
    page = Browser(site, add_user(site)).get("/video/house").text
    assert (
        '<track kind="captions" src="/video/assets/house/captions-en.vtt" srclang="en" label="English" default>' in page
    )
    assert 'data-thumbs="/video/assets/house/thumbs.vtt"' in page
    assert '<a href="?t=30" data-at="30.0">' in page


@pytest.mark.parametrize(
    ("name", "stranger", "kind"),
    [("poster.jpg", 200, "image/jpeg"), ("thumbs.jpg", 403, "image/jpeg"), ("thumbs.vtt", 403, "text/vtt"),
     ("captions-en.vtt", 403, "text/vtt"), ("720p.mp4", 404, ""), ("..%2fsecrets.json", 404, "")],
)  # fmt: skip
def test_small_files_are_closed_but_for_the_poster(site: Flask, name: str, stranger: int, kind: str) -> None:
    assert Browser(site).get(f"/video/assets/house/{name}").status_code == stranger
    member = Browser(site, add_user(site)).get(f"/video/assets/house/{name}")
    assert member.status_code == (404 if stranger == 404 else 200)
    if kind:
        assert member.mimetype == kind
        assert ("public" in member.headers["Cache-Control"]) == (name == "poster.jpg")


def test_video_goes_on_where_a_member_left_off(site: Flask) -> None:
    member = Browser(site, add_user(site))
    assert member.post_json("/video/progress/house", {"position_ms": 30_500}).json == {"kept": True}
    page = member.get("/video/house").text
    assert (source_in(page) or "").endswith("#t=30.5")
    assert "Resumes at 0:30." in page
    assert "#t=" not in (source_in(member.get("/video/house?t=0").text) or "")
    assert (source_in(member.get("/video/house?t=12").text) or "").endswith("#t=12.0")
    shelf = member.get("/video/").text
    assert 'value="50"' in shelf
    assert "Continue watching" in shelf
    assert "#t=" not in (source_in(Browser(site, add_user(site, "eve@church.example")).get("/video/house").text) or "")


def test_member_may_have_nothing_remembered(site: Flask) -> None:
    member = Browser(site, add_user(site))
    member.post_json("/video/progress/house", {"position_ms": 30_000})
    answer = member.submit("/video/settings/resume", {"wanted": "0", "next": "/video/house"})
    assert answer.location == "/video/house"
    page = follow(member, answer)
    assert "Resume is off. Your saved positions were removed." in page
    assert "#t=" not in (source_in(page) or "")
    assert "data-progress" not in page
    assert member.post_json("/video/progress/house", {"position_ms": 30_000}).json == {"kept": False}
    assert "data-progress" in follow(
        member, member.submit("/video/settings/resume", {"wanted": "1", "next": "/video/house"})
    )
    assert member.submit("/video/settings/resume", {"next": "//evil.example"}).location == "/video/"


@pytest.mark.parametrize("position", [None, -1, 1.5, "x", "", True, "9" * 30, [1]])
def test_position_that_is_none_is_refused(site: Flask, position: object) -> None:
    member = Browser(site, add_user(site))
    assert member.post_json("/video/progress/house", {"position_ms": position}).status_code == 422


def test_position_in_a_video_that_is_closed_is_not_kept(site: Flask) -> None:
    member = Browser(site, add_user(site))
    assert member.post_json("/video/progress/talk", {"position_ms": 1000}).status_code == 404
    assert Browser(site).post_json("/video/progress/open", {"position_ms": 1000}).status_code == 401


def test_quality_that_is_asked_for_is_played_where_there_is_such_a_one(site: Flask) -> None:
    with site.app_context(), db.write() as session:
        first = session.query(Rendition).join(Video).filter(Video.slug == "open").one()
        better = {"quality": "1080p", "file": "720p.mp4", "bytes": 99, "height": 1080, "etag": "y"}
        session.add(Rendition(video_id=first.video_id, width=1920, bitrate=1, **better))
    browser = Browser(site)
    chosen = {
        asked: re.search(r'data-quality="(\w+)"', browser.get(f"/video/open?quality={asked}").text)
        for asked in ("1080p", "x")
    }
    assert [found and found[1] for found in chosen.values()] == ["1080p", "720p"]


def test_page_that_plays_from_a_bucket_may_do_so(settings: Settings, site: Flask) -> None:
    site.config["CHURCH"] = settings.model_copy(
        update={"video_offload": "s3", "video_s3_bucket": "films", "video_s3_endpoint": "https://s3.church.example"}
    )
    policy = Browser(site).get("/video/open").headers["Content-Security-Policy"]
    assert "media-src 'self' https://s3.church.example;" in policy
    assert "https://s3" not in Browser(site).get("/video/talk").headers["Content-Security-Policy"]


def test_new_videos_are_on_the_home_page_in_the_feed_the_sitemap_and_the_search(site: Flask) -> None:
    browser = Browser(site)
    assert 'href="/video/talk"' in browser.get("/").text
    feed = browser.get("/feed.xml").text
    assert "/video/house</id>" in feed
    assert "A walk through the nave." in feed
    assert "/video/talk</loc>" in browser.get("/sitemap.xml").text
    found = browser.get("/pages/?q=nave").text
    assert 'href="/video/house"' in found
    assert 'href="/video/talk"' not in found
    assert "The door" not in feed + found  # a chapter is inside


def test_home_page_without_a_database_shows_what_it_knew(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(site)
    assert 'href="/video/talk"' in browser.get("/").text
    monkeypatch.setattr(videos_library, "_CACHE_SECONDS", -1.0)
    browser.get("/")

    def down(**_: object) -> None:
        raise DatabaseDownError

    monkeypatch.setattr(videos_library, "listing", down)
    assert 'href="/video/talk"' in browser.get("/").text


def test_watch_page_is_counted_once_for_who_may_and_for_who_may_not(site: Flask) -> None:
    pages = {"open": ("public", "granted"), "house": ("members", "teaser"), "nowhere": ("other", "not_found")}
    for slug, labels in pages.items():
        with grows(definitions.content_access.labels("video", *labels)):
            Browser(site).get(f"/video/{slug}")
