"""Search of videos on both databases: what is found, in which order, and how the index follows changes."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import func, select, text, update

from church.extensions import db
from church.models import Video, VideoText
from church.services import videos
from church.services.access import ANONYMOUS
from church.services.audit import Actor
from church.services.videos import VideoDraft, search
from church.services.videos.importing.add_video import insert_video
from tests.support.video_fixture import add_ready, add_rows

CLI = Actor(via="cli")


def find(query: str, limit: int = 20) -> list[str]:
    return [one.slug for one in videos.search_videos(query, limit=limit).videos]


def test_search_finds_every_word_in_title_or_description(on_both: Flask) -> None:
    add_ready("old", description="Nets and *Öl*.")
    add_ready("new", access_level="public", title="The new Pier")
    add_ready("queued", state="queued", title="Pier", published_at=None)
    assert find("PIÉR") == find("pie") == ["new"]
    assert find("nets ol") == ["old"]
    assert find("old nets") == ["old"]  # one in the title, one in the description
    assert find("ets") == find("nets pier") == find("%") == find("") == find('"') == find("nets' OR 1") == []


def test_search_has_titles_first_then_the_newest_and_goes_on_by_key(on_both: Flask) -> None:
    add_rows([{"slug": f"text{n}", "title": "Film", "description": "A harbour."} for n in range(3)])
    add_rows([{"slug": f"title{n}", "title": "Harbour"} for n in range(3)])
    add_rows([{"slug": "last", "description": "The harbour"}])
    ordered = ["title2", "title1", "title0", "last", "text2", "text1", "text0"]
    assert find("harbour") == ordered
    for limit in (1, 2, 3, 4):
        found, key = [], None
        while True:
            part = videos.search_videos("harbour", limit=limit, after=key)
            found += [one.slug for one in part.videos]
            key = part.next
            if key is None:
                break
        assert found == ordered


def test_search_orders_common_and_rare_words_alike(on_both: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_MANY", 4)
    add_rows([{"slug": f"v{n}", "title": "Harbour lantern" if n < 3 else "Harbour"} for n in range(6)])
    assert find("harbour") == [f"v{n}" for n in (5, 4, 3, 2, 1, 0)]
    assert find("lantern") == find("lant") == ["v2", "v1", "v0"]


def test_search_finds_videos_beyond_the_newest_thousand(at_work: Flask) -> None:
    add_rows([{"slug": "first", "title": "A rare lantern"}, *({"slug": f"v{n}"} for n in range(1100))])
    assert find("lantern") == ["first"]


@pytest.mark.parametrize("query", ["祭り", "東京の", "ぱん"])
def test_search_finds_unspaced_letters_anywhere(on_both: Flask, query: str) -> None:
    add_rows([{"slug": "tokyo", "title": "東京の祭り", "description": "ぱんと海"}, {"slug": "other", "title": "ばん"}])
    search.prepare_texts({})
    assert find(query) == ["tokyo"]


def test_added_and_edited_video_is_found_at_once_and_a_deleted_one_no_more(on_both: Flask) -> None:
    add_ready("harbour", title="東京の祭り")
    ref = videos.list_videos().videos[0].ref
    videos.edit_video(ref, "海と東京タワー", "public", "Nets", CLI)
    assert find("タワー") == find("nets") == ["harbour"]
    assert find("祭り") == []
    with db.read() as session:
        assert session.scalar(select(VideoText.prepared)) is True
    videos.delete_video(ref, CLI)
    assert find("nets") == []
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(VideoText)) == 0


def test_text_of_an_added_video_is_prepared_at_once(on_both: Flask) -> None:
    with db.write() as session:
        insert_video(session, "a" * 16, "film.mp4", 1, VideoDraft("東京の祭り", "public"), CLI)
    with db.read() as session:
        row = session.scalars(select(VideoText)).one()
    assert (row.prepared, row.title != "東京の祭り") == (True, True)


def test_change_by_another_release_is_found_and_prepared_later(on_both: Flask) -> None:
    add_ready("harbour", title="Harbour")
    search.prepare_texts({})
    with db.write() as session:
        session.execute(update(Video).values(title="Pier 東京の祭り"))
    assert find("pier") == ["harbour"]
    assert find("harbour") == []
    search.prepare_texts({})
    assert find("祭り") == ["harbour"]
    with db.write() as session:
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text("INSERT INTO video_texts_fts(video_texts_fts) VALUES ('integrity-check')"))


def test_related_videos_share_words_of_the_title_however_old_they_are(on_both: Flask) -> None:
    add_rows([{"slug": "one", "title": "The lighthouse, part one"}])
    add_rows([{"slug": f"v{n}", "title": f"The sea {n}"} for n in range(60)])
    add_rows([{"slug": "two", "title": "The Lighthouse, part two"}, {"slug": "alone", "title": "Ferns"}])
    related = videos.load_watch_view("two", ANONYMOUS, None).related
    assert related[0].slug == "one"
    assert [one.slug for one in related[1:]] == ["v59", "v58", "v57"]
    assert [one.slug for one in videos.load_watch_view("alone", ANONYMOUS, None).related] == [
        "two", "v59", "v58", "v57",
    ]  # fmt: skip
