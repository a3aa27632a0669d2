"""Pages of /video for strangers, members and subscribers: list, watch page, small files, saved positions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

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
from church.services.videos import newest
from church.services.videos.storage import local
from tests.support.browsing import JSON, Browser, follow_redirect
from tests.support.helpers import grows
from tests.support.people import add_user
from tests.support.video_fixture import add_ready, add_rows

CONSOLE = Actor(None, "cli")
DESCRIPTION = "A walk *through* the nave."


@pytest.fixture
def site(app: Flask) -> Flask:
    """A site with one video per access level; the one for members has captions, chapters and pictures."""
    with app.app_context():
        add_ready("open", access_level="public")
        add_ready("house", access_level="members", description=DESCRIPTION, has_poster=True, has_thumbs=True)
        add_ready("talk", access_level="premium", description="<b>Hello</b>")
        house = ref_of("house")
        for name in (videos.POSTER, local.SPRITE, local.THUMBS):
            (local.video_folder(current_settings(), house) / name).write_bytes(f"bytes of {name}".encode())
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


def test_list_shows_ready_videos_only_and_to_everyone(site: Flask) -> None:
    with site.app_context():
        add_ready("secret", state="working", published_at=None)
    page = Browser(site).get("/video/")
    assert page.status_code == 200
    assert [f'href="/video/{slug}"' in page.text for slug in ("open", "house", "talk", "secret")] == [1, 1, 1, 0]
    assert page.headers["Cache-Control"] == "public, max-age=60"
    assert Browser(site).get("/video/", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304
    assert Browser(site, subscriber(site)).get("/video/").headers["Cache-Control"] == "private, no-store"
    assert Browser(site).get("/video/secret").status_code == 404


def test_admin_watches_every_video_without_a_subscription(site: Flask) -> None:
    admin = Browser(site, add_user(site, "boss@church.example", role="admin"))
    with grows(definitions.content_access.labels("video", "premium", "admin")):
        page = admin.get("/video/talk").text
    source = source_in(page)
    assert source
    assert "/stripe/pricing" not in page[page.index("<main") :]
    with grows(definitions.video_streams.labels("talk", "720p", "admin")), admin.get(source) as answer:
        assert answer.data == b"0123456789"
    assert admin.get("/video/assets/house/captions-en.vtt").status_code == 200
    assert admin.submit("/video/progress/talk", {"position_ms": "5000"}).status_code == 200


def test_list_of_many_videos_is_walked_in_parts_without_scripts(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "PAGE_SIZE", 1)
    browser = Browser(site)
    seen: list[str] = []
    titles: list[str] = []
    address = "/video/"
    while address:
        page = browser.get(address).text
        seen += re.findall(r'tape-title"><a href="/video/(\w+)"', page)
        titles += re.findall(r"<title>(.+?)</title>", page)
        assert re.findall(r'<link rel="canonical" href="https?://[^/]+([^"]+)"', page) == [address]
        last, address = address, next(iter(re.findall(r'href="([^"]+)" rel="next"', page)), "")
    assert seen == ["talk", "house", "open"]
    assert titles[0].startswith("Videos · ")
    assert re.match(r"Videos, \d+ \w+ \d{4} · ", titles[1])
    back = re.findall(r'href="([^"]+)" rel="prev"', browser.get(last).text)[0]
    assert 'href="/video/house"' in browser.get(back).text
    first = browser.get(re.findall(r'href="([^"]+)" rel="prev"', browser.get(back).text)[0])
    assert (first.status_code, first.headers["Location"]) == (302, "/video/")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page=2", 301),
        ("after=", 200),
        ("after=x", 404),
        ("before=2025-03-14", 404),
        ("after=2001-01-01T000000.000000~1", 404),
        ("before=2999-01-01T000000.000000~1", 404),
        ("month=2025-13", 404),
        ("month=0000-01", 404),
        ("month=1999-01", 404),
        ("month=9999-12", 200),
        ("q=nave&after=title-0", 404),
        ("q=nave&month=2025-03", 404),
        ("utm_source=letter", 200),
        ("after=" + "9" * 500, 404),
    ],
)
def test_list_odd_address_is_answered_or_unknown(site: Flask, query: str, status: int) -> None:
    assert Browser(site).get(f"/video/?{query}").status_code == status


def test_list_jumps_to_a_month(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "PAGE_SIZE", 2)
    with site.app_context():
        moments = {"old": datetime(2019, 5, 31, 23, 59, tzinfo=UTC), "older": datetime(2018, 1, 1, tzinfo=UTC)}
        add_rows([{"slug": slug, "published_at": at} for slug, at in moments.items()])
    browser = Browser(site)
    assert '<option value="2019-05">May 2019</option>' in browser.get("/video/").text
    page = browser.get("/video/?month=2019-05").text
    assert re.findall(r'tape-title"><a href="/video/(\w+)"', page) == ["old", "older"]
    assert '<option value="2019-05" selected>' in page
    assert "Videos, 31 May 2019 to 1 January 2018 · " in page


def test_search_of_videos_leads_to_more_results(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "PAGE_SIZE", 2)
    with site.app_context():
        add_rows([{"slug": f"nave{n}", "title": "Nave"} for n in range(3)])
    browser = Browser(site)
    first = browser.get("/video/?q=nave")
    assert first.headers["Cache-Control"] == "private, no-store"
    assert '<meta name="robots" content="noindex">' in first.text
    more = re.findall(r'href="([^"]+)" rel="next"', first.text)[0].replace("&amp;", "&")
    assert re.findall(r'tape-title"><a href="/video/(\w+)"', browser.get(more).text) == ["nave0", "house"]
    assert "No results." in browser.get("/video/?q=nowhere").text


@pytest.mark.parametrize(
    ("viewer", "playable"),
    [(None, ["open"]), ("unverified", ["open"]), ("member", ["open", "house"]), ("sub", ["open", "house", "talk"])],
)
def test_watch_page_shows_the_player_with_access_and_next_steps_without(
    site: Flask, viewer: str | None, playable: list[str]
) -> None:
    user = subscriber(site) if viewer == "sub" else add_user(site, verified=viewer == "member") if viewer else None
    browser = Browser(site, user)
    for slug in ("open", "house", "talk"):
        page = browser.get(f"/video/{slug}")
        assert (page.status_code, source_in(page.text) is not None) == (200, slug in playable), slug
        assert ("way-in" in page.text) == (slug not in playable)
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "private, no-store"


def test_watch_page_without_access_shows_poster_and_description_only(site: Flask) -> None:
    page = Browser(site).get("/video/house").text
    assert "/video/assets/house/poster.jpg" in page
    assert "A walk <em>through</em> the nave." in page
    assert '/auth/login?next=/video/house"' in page
    assert [word in page for word in ("The door", "captions-en.vtt", "thumbs.vtt", "token=")] == [False] * 4
    assert "No plan is for sale right now." in Browser(site, add_user(site)).get("/video/talk").text


def test_watch_page_has_a_working_stream_address_for_the_member(site: Flask) -> None:
    member = Browser(site, add_user(site))
    source = source_in(member.get("/video/house").text)
    assert source is not None
    with member.get(source) as stream:
        assert stream.data == b"0123456789"
    assert Browser(site).get("/video/access/house", headers=JSON).status_code == 401


def test_watch_page_lists_captions_chapters_and_thumbnails(site: Flask) -> None:
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
def test_assets_need_access_except_the_poster(site: Flask, name: str, stranger: int, kind: str) -> None:
    assert Browser(site).get(f"/video/assets/house/{name}").status_code == stranger
    member = Browser(site, add_user(site)).get(f"/video/assets/house/{name}")
    assert member.status_code == (404 if stranger == 404 else 200)
    if kind:
        assert member.mimetype == kind
        assert ("public" in member.headers["Cache-Control"]) == (name == "poster.jpg")


def test_watch_page_resumes_where_the_member_left_off(site: Flask) -> None:
    member = Browser(site, add_user(site))
    assert member.post_json("/video/progress/house", {"position_ms": 30_500}).json == {"kept": True}
    page = member.get("/video/house").text
    assert (source_in(page) or "").endswith("#t=30.5")
    assert "Resumes at 0:30." in page
    assert "#t=" not in (source_in(member.get("/video/house?t=0").text) or "")
    assert (source_in(member.get("/video/house?t=12").text) or "").endswith("#t=12.0")
    page = member.get("/video/").text
    assert 'value="50"' in page
    assert "Continue watching" in page
    assert "#t=" not in (source_in(Browser(site, add_user(site, "eve@church.example")).get("/video/house").text) or "")


def test_resume_off_removes_and_saves_no_position(site: Flask) -> None:
    member = Browser(site, add_user(site))
    member.post_json("/video/progress/house", {"position_ms": 30_000})
    answer = member.submit("/video/settings/resume", {"wanted": "0", "next": "/video/house"})
    assert answer.location == "/video/house"
    page = follow_redirect(member, answer)
    assert "Resume is off. Your saved positions were removed." in page
    assert "#t=" not in (source_in(page) or "")
    assert "data-progress" not in page
    assert member.post_json("/video/progress/house", {"position_ms": 30_000}).json == {"kept": False}
    assert "data-progress" in follow_redirect(
        member, member.submit("/video/settings/resume", {"wanted": "1", "next": "/video/house"})
    )
    assert member.submit("/video/settings/resume", {"next": "//evil.example"}).location == "/video/"


@pytest.mark.parametrize("position", [None, -1, 1.5, "x", "", True, "9" * 30, [1]])
def test_progress_invalid_position_is_rejected(site: Flask, position: object) -> None:
    member = Browser(site, add_user(site))
    assert member.post_json("/video/progress/house", {"position_ms": position}).status_code == 422


def test_progress_without_access_is_not_saved(site: Flask) -> None:
    member = Browser(site, add_user(site))
    assert member.post_json("/video/progress/talk", {"position_ms": 1000}).status_code == 404
    assert Browser(site).post_json("/video/progress/open", {"position_ms": 1000}).status_code == 401


def test_watch_page_plays_the_requested_quality_if_it_exists(site: Flask) -> None:
    with site.app_context(), db.write() as session:
        first = session.query(Rendition).join(Video).filter(Video.slug == "open").one()
        better = {"quality": "1080p", "file": "720p.mp4", "bytes": 99, "height": 1080, "etag": "y"}
        session.add(Rendition(video_id=first.video_id, width=1920, bitrate=1, **better))
    browser = Browser(site)
    chosen = {
        quality: re.search(r'data-quality="(\w+)"', browser.get(f"/video/open?quality={quality}").text)
        for quality in ("1080p", "x")
    }
    assert [found and found[1] for found in chosen.values()] == ["1080p", "720p"]


def test_watch_page_playing_from_a_bucket_allows_it_in_the_policy(settings: Settings, site: Flask) -> None:
    site.config["CHURCH"] = settings.model_copy(
        update={"video_offload": "s3", "video_s3_bucket": "films", "video_s3_endpoint": "https://s3.church.example"}
    )
    policy = Browser(site).get("/video/open").headers["Content-Security-Policy"]
    assert "media-src 'self' https://s3.church.example;" in policy
    assert "https://s3" not in Browser(site).get("/video/talk").headers["Content-Security-Policy"]


def test_new_videos_appear_on_home_page_feed_sitemap_and_search(site: Flask) -> None:
    browser = Browser(site)
    assert 'href="/video/talk"' in browser.get("/").text
    feed = browser.get("/feed.xml").text
    assert "/video/house</id>" in feed
    assert "A walk through the nave." in feed
    assert "/video/talk</loc>" in browser.get("/sitemap.xml").text
    found = browser.get("/pages/?q=nave").text
    assert 'href="/video/house"' in found
    assert 'href="/video/talk"' not in found
    assert "The door" not in feed + found  # chapters are for viewers with access


def test_home_page_while_database_is_down_shows_the_last_videos(site: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(site)
    monkeypatch.setattr(newest, "_CHECK_SECONDS", -1.0)
    assert 'href="/video/talk"' in browser.get("/").text

    def down(**_: object) -> None:
        raise DatabaseDownError

    monkeypatch.setattr(db, "_read", down)
    assert 'href="/video/talk"' in browser.get("/").text


def test_watch_page_counts_access_once_whatever_the_outcome(site: Flask) -> None:
    pages = {"open": ("public", "granted"), "house": ("members", "teaser"), "nowhere": ("other", "not_found")}
    for slug, labels in pages.items():
        with grows(definitions.content_access.labels("video", *labels)):
            Browser(site).get(f"/video/{slug}")
