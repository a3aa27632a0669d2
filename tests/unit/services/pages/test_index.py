"""The search index: what is rendered for it, when, and what an interrupted or upgraded one does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from church.config import Settings
from church.extensions import db
from church.models.pages import PageText
from church.services import live_broadcast
from church.services.access import ANONYMOUS
from church.services.pages import content as pages_content
from church.services.pages.content import Pages
from church.services.pages.search import index
from tests.support.pages_fixture import small_library, write_page
from tests.support.pictures import make_png


class Indexed:
    """A site whose pages are indexed, with the paths of the pages that were rendered."""

    def __init__(self, settings: Settings, rendered: list[str]) -> None:
        self.content = settings.content
        self.instance = settings.instance
        self._rendered = rendered
        self.now = 0.0
        self.pages = self.open()

    def open(self) -> Pages:
        return Pages(self.content, drafts=False, instance=self.instance, clock=self._clock)

    def _clock(self) -> float:
        self.now += 10
        return self.now

    def render_by_index(self) -> list[str]:
        """Update the index, and list what was rendered for that."""
        self._rendered.clear()
        self.pages.reindex(db)
        return sorted(self._rendered)


@pytest.fixture
def site(migrated_site: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Indexed]:
    app = Flask(__name__)
    app.config["CHURCH"] = migrated_site
    db.init_app(app)
    small_library(migrated_site.content)
    rendered: list[str] = []
    render = pages_content.render_page

    def note(page: pages_content.PageFacts, *rest: Callable[..., object]) -> object:
        rendered.append(page.stamp.path)
        return render(page, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pages_content, "render_page", note)
    monkeypatch.setattr(live_broadcast, "notify_new_pages", lambda _session, _titles: None)  # there is no store
    with app.app_context():
        yield Indexed(migrated_site, rendered)
        db.dispose()


def read_bodies() -> dict[str, str]:
    with db.read() as session:
        found = session.execute(select(PageText.slug, PageText.body).where(PageText.scope == "full"))
        return {row.slug: row.body for row in found}


ALL = ["club.md", "gold.md", "guide/first.md", "later.md", "open.md"]


def test_index_renders_only_the_pages_that_changed(site: Indexed) -> None:
    assert site.render_by_index() == ALL
    assert site.render_by_index() == []
    write_page(site.content, "open", "Chestnut words.")
    write_page(site.content, "later", "Still not.", draft="true")
    assert site.render_by_index() == ["later.md", "open.md"]
    (site.content / "club.md").touch()  # the same text
    (site.content / "gold.md").unlink()
    assert site.render_by_index() == []


def test_index_of_a_process_that_starts_renders_nothing_again(site: Indexed) -> None:
    site.render_by_index()
    site.pages = site.open()
    assert site.render_by_index() == []


def test_index_renders_the_pages_whose_pictures_came_or_went(site: Indexed) -> None:
    write_page(site.content, "open", "Words. ![A cat](cat.png)")
    site.render_by_index()
    (site.content / "cat.png").write_bytes(make_png(2, 2))
    assert site.render_by_index() == ["open.md"]
    assert site.render_by_index() == []
    (site.content / "cat.png").unlink()
    assert site.render_by_index() == ["open.md"]


def test_index_of_a_release_without_stamps_is_taken_over(site: Indexed) -> None:
    site.render_by_index()
    for file in site.instance.glob("pages-*"):
        file.unlink()
    with db.write() as session:
        session.execute(update(PageText).values(stamp=None))
    before = read_bodies()
    site.pages = site.open()
    assert site.pages.search(db, "walnut", ANONYMOUS).cards
    assert site.render_by_index() == ALL
    with db.read() as session:
        assert session.scalar(select(func.count()).where(PageText.stamp.is_(None))) == 0
    assert read_bodies() == before
    assert site.render_by_index() == []


def test_index_that_was_lost_is_made_again(site: Indexed) -> None:
    site.render_by_index()
    with db.write() as session:
        session.execute(PageText.__table__.delete())  # type: ignore[attr-defined]
    assert site.render_by_index() == ["club.md", "gold.md", "guide/first.md", "open.md"]


def test_index_if_changed_compares_all_rows_only_after_a_change_an_hour_or_a_start(site: Indexed) -> None:
    def lose_and_count() -> int:
        with db.write() as session:
            session.execute(PageText.__table__.delete())  # type: ignore[attr-defined]
        return site.pages.reindex(db, if_changed=True)

    assert site.pages.reindex(db, if_changed=True) > 0
    assert lose_and_count() == 0
    write_page(site.content, "open", "Chestnut words.")
    assert lose_and_count() > 0
    site.now += 3600
    assert lose_and_count() > 0
    assert lose_and_count() == 0
    site.pages = site.open()
    assert lose_and_count() > 0


def test_index_if_changed_renders_pages_whose_picture_was_replaced_in_place(site: Indexed) -> None:
    (site.content / "cat.png").write_bytes(make_png(2, 2))
    write_page(site.content, "open", "Words. ![A cat](cat.png)")
    site.pages.reindex(db, if_changed=True)
    site.pages.reindex(db, if_changed=True)
    site.render_by_index()
    (site.content / "cat.png").write_bytes(make_png(3, 3))
    site.pages.reindex(db, if_changed=True)
    assert site._rendered == ["open.md"]


def test_index_cut_off_goes_on_and_announces_no_page_as_new(site: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[str] = []
    monkeypatch.setattr(live_broadcast, "notify_new_pages", lambda _, titles: announced.extend(titles))
    monkeypatch.setattr(index, "_BATCH", 1)
    store = index.store_rendered
    stored: list[int] = []

    def fail_after_two(*arguments: object) -> None:
        if len(stored) == 2:
            raise OSError("the process is killed")
        stored.append(1)
        store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index, "store_rendered", fail_after_two)
    with pytest.raises(OSError, match="killed"):
        site.pages.reindex(db)
    monkeypatch.setattr(index, "store_rendered", store)
    assert len(site.render_by_index()) == 3  # of five: that which was cut off, and those after it
    assert announced == []
    for name in ("x", "y"):
        write_page(site.content, name)
    site.render_by_index()
    assert announced == ["x", "y"]


def test_index_of_a_page_that_cannot_be_rendered_does_not_try_again_until_it_changes(
    site: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.render_by_index()
    clean = "church.services.pages.render.clean_markup"

    def fail(_text: str) -> str:
        raise RecursionError

    with monkeypatch.context() as broken:
        broken.setattr(clean, fail)
        write_page(site.content, "open", "Too deep.")
        assert site.render_by_index() == ["open.md"]
        assert site.render_by_index() == []
    assert site.pages.search(db, "walnut", ANONYMOUS).cards == []
    write_page(site.content, "open", "Not deep.")
    assert site.render_by_index() == ["open.md"]
    assert [card.slug for card in site.pages.search(db, "deep", ANONYMOUS).cards] == ["open"]


def test_page_is_read_from_its_file_while_the_folder_is_read_for_the_first_time(tmp_path: Path) -> None:
    small_library(tmp_path)
    pages = Pages(tmp_path, drafts=False)
    pages.shelf.is_resting = True
    assert pages.recent() == []
    shown = pages.read("open", ANONYMOUS, "")
    assert shown
    assert shown.title == "Open page"
    teaser = pages.read("gold", ANONYMOUS, "")
    assert type(teaser).__name__ == "TeaserView"
    for slug in ("later", "none", "../open", ".hidden"):
        assert pages.read(slug, ANONYMOUS, "") is None
    pages.shelf.is_resting = False
    assert len(pages.recent()) == 4
