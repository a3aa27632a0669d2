"""Videos of other sites: which addresses are recognised, and the card that leads there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from church.services.pages.pictures.files import PictureFolder
from church.services.pages.render import render_fragment, render_page
from church.services.pages.video_links import recognise_video
from tests.support.pages_fixture import attributes_of, make_page, render_body
from tests.support.pictures import make_png

YOUTUBE = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
UUID = "9c9de5e8-0a1e-484a-b099-e80766180a6d"
SHORT = "kkGMgK9ZtnKfYAgnEtQxbv"


@pytest.mark.parametrize(
    ("address", "leads_to", "site"),
    [
        (YOUTUBE, YOUTUBE, "YouTube"),
        ("http://m.youtube.com/watch?app=desktop&v=dQw4w9WgXcQ&t=1m30s", f"{YOUTUBE}&t=1m30s", "YouTube"),
        ("https://youtu.be/dQw4w9WgXcQ?si=AbC", YOUTUBE, "YouTube"),
        ("//www.youtube-nocookie.com/embed/dQw4w9WgXcQ?start=90&rel=0", f"{YOUTUBE}&t=90", "YouTube"),
        ("https://youtube.com/shorts/dQw4w9WgXcQ", YOUTUBE, "YouTube"),
        ("https://www.youtube.com/live/dQw4w9WgXcQ", YOUTUBE, "YouTube"),
        (
            "https://www.youtube.com/embed/videoseries?list=PL0123456789",
            "https://www.youtube.com/playlist?list=PL0123456789",
            "YouTube",
        ),
        ("https://vimeo.com/76979871", "https://vimeo.com/76979871", "Vimeo"),
        ("https://player.vimeo.com/video/76979871?h=8272103f6e", "https://vimeo.com/76979871/8272103f6e", "Vimeo"),
        ("https://vimeo.com/channels/staff-picks/76979871", "https://vimeo.com/76979871", "Vimeo"),
        (f"https://tube.example/w/{SHORT}", f"https://tube.example/w/{SHORT}", "tube.example"),
        (f"https://tube.example/videos/watch/{UUID}", f"https://tube.example/w/{UUID}", "tube.example"),
        (f"https://tube.example/videos/embed/{UUID}?start=1m", f"https://tube.example/w/{UUID}", "tube.example"),
        (f"https://tube.example/w/p/{SHORT}", f"https://tube.example/w/p/{SHORT}", "tube.example"),
    ],
)
def test_video_address_is_recognised(address: str, leads_to: str, site: str) -> None:
    video = recognise_video(address)
    assert video is not None
    assert (video.address, video.site) == (leads_to, site)


@pytest.mark.parametrize(
    "address",
    [
        "https://www.youtube.com/@channel",
        "https://www.youtube.com/watch?v=<script>",
        "https://youtube.com.evil.example/watch?v=dQw4w9WgXcQ",
        "https://user@youtu.be/dQw4w9WgXcQ",
        "https://vimeo.com/about",
        "https://wiki.example/w/Main_Page",
        f"https://tube.example/w/{SHORT}/edit",
        "javascript://youtu.be/dQw4w9WgXcQ",
        "/w/9c9de5e8",
        "https://[",
        "",
    ],
)
def test_any_other_address_is_no_video(address: str) -> None:
    assert recognise_video(address) is None


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (YOUTUBE, "Video"),
        (f"<{YOUTUBE}>", "Video"),
        ('<iframe src="https://www.youtube.com/embed/dQw4w9WgXcQ" title="A &amp; B" allowfullscreen></iframe>',
         "A &amp; B"),
        (f"<p align=center><iframe src='{YOUTUBE}'>\n</iframe></p>", "Video"),
        (f'[![A still](/static/img/og.png)]({YOUTUBE} "The title")', "The title"),
        (f"[![A still](/static/img/og.png)]({YOUTUBE})", "A still"),
    ],
)  # fmt: skip
def test_video_becomes_a_card_that_opens_in_a_new_tab(body: str, title: str) -> None:
    page = render_body(f"Before.\n\n{body}\n\nAfter.")
    (link,) = attributes_of(page.html, "a")
    assert link == {"href": YOUTUBE, "target": "_blank", "rel": "noopener noreferrer"}
    assert f'<span class="video-card-title">{title}</span>' in page.html
    assert "Watch on YouTube (opens in a new tab)" in page.html
    assert "iframe" not in page.html
    assert [picture["alt"] for picture in attributes_of(page.html, "img")] == [""] * ("![" in body)


def test_card_shows_the_still_beside_the_page(tmp_path: Path) -> None:
    (tmp_path / "still.png").write_bytes(make_png(16, 9))
    page = make_page(f"[![A still](still.png)]({YOUTUBE})")
    rendered = render_page(replace(page, stamp=replace(page.stamp, path="x.md")), PictureFolder(tmp_path).find)
    (still,) = attributes_of(rendered.html, "img")
    assert (still["src"] or "").startswith("/pictures/still.png?v=")
    assert (still["width"], still["alt"]) == ("16", "")


def test_line_of_a_paragraph_becomes_a_card_between_two_paragraphs() -> None:
    html = render_body(f"Look:  \n{YOUTUBE}\n*more*").html
    assert html.startswith("<p>Look:</p>\n<figure")
    assert html.endswith("</figure>\n<p><em>more</em></p>")


@pytest.mark.parametrize(
    "body", [f"See {YOUTUBE} now", f"[words]({YOUTUBE})", f"`{YOUTUBE}`", f"```\n{YOUTUBE}\n```", "https://a.example/x"]
)
def test_link_within_text_stays_a_link(body: str) -> None:
    assert "video-card" not in render_body(body).html


def test_video_of_a_closed_page_is_not_in_its_opening() -> None:
    page = render_body(f"{YOUTUBE}\n\nWords.\n\n## Part\n", access="premium")
    assert page.opening == "<p>Words.</p>"


def test_fragment_has_cards_too() -> None:
    assert "video-card" in render_fragment(YOUTUBE)
