"""The search, on both databases: who finds which pages, and no text that was closed since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from church.config import Settings
from church.database import DatabaseDownError
from church.extensions import db
from church.models.base import MARK_END, MARK_START
from church.models.pages import PageText
from church.services import live_broadcast
from church.services.access import ANONYMOUS, Reader
from church.services.pages.content import Pages
from church.services.pages.search import find
from church.services.pages.search.find import search_statement
from church.services.pages.search.words import search_words
from tests.support.pages_fixture import CLOSED, HIDDEN, small_library, write_page
from tests.support.services_fixture import site_settings

MEMBER = Reader(member=True)
SUBSCRIBER = Reader(member=True, premium=True)


class Site:
    """Pages over a real database; the folder is scanned on every read."""

    def __init__(self, content: Path) -> None:
        self.content = content
        self.now = 0.0
        self.pages = Pages(content, drafts=False, clock=self._clock)

    def _clock(self) -> float:
        self.now += 10
        return self.now

    def found(self, query: str, reader: Reader = ANONYMOUS, tag: str | None = None) -> list[str]:
        return [card.slug for card in self.pages.search(db, query, reader, tag).cards]

    def reindex(self) -> int:
        return self.pages.reindex(db)


@pytest.fixture
def site(migrated_site: Settings) -> Iterator[Site]:
    app = Flask(__name__)
    app.config["CHURCH"] = migrated_site
    db.init_app(app)
    small_library(migrated_site.content)
    with app.app_context():
        yield Site(migrated_site.content)
        db.dispose()


def row_count() -> int:
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(PageText)) or 0


def test_search_public_page_is_found_by_its_text_with_a_marked_snippet(site: Site) -> None:
    site.reindex()
    (card,) = site.pages.search(db, "WALNUT", ANONYMOUS).cards
    assert card.slug == "open"
    assert "<mark>walnut</mark>" in str(card.snippet).lower()


def test_search_hidden_text_is_found_only_with_access(site: Site) -> None:
    site.reindex()
    assert site.found(HIDDEN) == []
    assert site.found("deeper") == []
    assert site.found(HIDDEN, MEMBER) == ["club"]
    assert sorted(site.found(HIDDEN, SUBSCRIBER)) == ["club", "gold"]


def test_search_public_part_of_a_closed_page_is_found_by_all(site: Site) -> None:
    site.reindex()
    for query in ("gold", "opening gold", "first part gold"):
        assert site.found(query) == ["gold"], query
    assert HIDDEN not in str([card.snippet for card in site.pages.search(db, "opening", ANONYMOUS).cards])


def test_search_within_a_tag_finds_its_pages_only(site: Site) -> None:
    site.reindex()
    assert site.found("walnut", tag="wood") == ["open"]
    assert site.found("walnut", tag="nothing") == []


def test_search_page_closed_since_is_not_found_until_reindexed(site: Site) -> None:
    write_page(site.content, "open", CLOSED + "\nwalnut", access="members")
    write_page(site.content, "extra", "mahogany")
    site.reindex()
    write_page(site.content, "extra", "# X\n\nmahogany", access="premium")
    assert site.found("mahogany") == []
    assert site.found("mahogany", MEMBER) == []
    site.reindex()
    assert site.found("mahogany") == []
    assert site.found("mahogany", SUBSCRIBER) == ["extra"]


def test_search_closed_page_is_not_found_by_text_now_hidden(site: Site) -> None:
    write_page(site.content, "club", "Opening mahogany.\n\n## Part\n\nrest", access="members")
    site.reindex()
    assert site.found("mahogany") == ["club"]
    write_page(site.content, "club", "## Part\n\nOpening mahogany.\n\nrest", access="members")
    assert site.found("mahogany") == []


def test_search_page_moved_to_premium_is_closed_to_members_at_once(site: Site) -> None:
    site.reindex()
    write_page(site.content, "club", CLOSED, title="Club page", access="premium", tags="[all]", date="2026-02-01")
    assert site.found(HIDDEN, MEMBER) == []


def test_search_deleted_page_is_not_found(site: Site) -> None:
    site.reindex()
    (site.content / "open.md").unlink()
    assert site.found("walnut") == []


def test_search_draft_is_not_found(site: Site) -> None:
    site.reindex()
    assert site.found("later") == site.found("later", SUBSCRIBER) == []


def test_search_of_an_admin_finds_closed_pages_and_drafts(site: Site) -> None:
    site.reindex()
    admin = Reader(member=True, admin=True)
    write_page(site.content, "idea", "Crème brûlée, twice.", title="An idea", draft="true", tags="[t]")
    assert set(site.found(HIDDEN, admin)) == {"club", "gold"}
    assert site.found("CREME brulee", admin) == site.found("idea twi", admin, "t") == ["idea"]
    assert site.found("brulee", admin, "other") == site.found("brulee nowhere", admin) == site.found("?", admin) == []


def test_reindex_writes_only_changes(site: Site) -> None:
    assert site.reindex() == 6  # two closed pages with two rows each, two public ones with one
    assert site.reindex() == 0
    write_page(site.content, "open", "Chestnut words.", title="Open page")
    assert site.reindex() == 1
    assert (site.found("chestnut"), site.found("walnut")) == (["open"], [])
    (site.content / "gold.md").unlink()
    write_page(site.content, "club", "All open now.", access="public")
    assert site.reindex() == 4
    assert row_count() == 3


def test_reindex_with_a_page_that_cannot_be_rendered_indexes_the_rest(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_on_gold(text: str) -> str:
        if "opening" in text:
            raise RecursionError
        return text

    monkeypatch.setattr("church.services.pages.render.clean_markup", fail_on_gold)
    assert site.reindex() == 2


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        "\0",
        "(q+)+$",
        "' OR '1'='1",
        '"',
        "a AND OR NOT",
        "NEAR(",
        "*",
        "%",
        "\\",
        "é" * 500,
        "aあ" * 100,
        "あ" * 200,
        "ก็" * 100,
        "\ud800x",
        "x" * 50_000,
    ],
)
def test_search_odd_query_is_harmless(site: Site, query: str) -> None:
    site.reindex()
    assert site.found(query) == []


def test_search_long_query_is_cut_not_refused(site: Site) -> None:
    site.reindex()
    assert site.found("walnut" + " " * 300 + "nothing") == ["open"]


def test_search_markup_in_a_page_stays_text_in_the_snippet(site: Site) -> None:
    write_page(site.content, "odd", "Write `<b onclick=x>` beside hickory.")
    site.reindex()
    (card,) = site.pages.search(db, "hickory", ANONYMOUS).cards
    assert "<mark>hickory</mark>" in str(card.snippet)
    assert "<b" not in str(card.snippet)


def test_search_without_a_database_raises_an_error(tmp_path: Path) -> None:
    settings = site_settings(tmp_path, "postgresql://nobody@127.0.0.1:1/none")
    app = Flask(__name__)
    app.config["CHURCH"] = settings
    db.init_app(app)
    small_library(settings.content)
    with app.app_context(), pytest.raises(DatabaseDownError):
        Site(settings.content).found("walnut")


# -- scripts without blanks between words ---------------------------------------------------------------------------

SCRIPTS = {
    "shiritori": ("昨日の記録", "昨日は成語しりとりをして遊びました。Python入門の本、ﾊﾞｽの中、東京\n都。"),
    "beijing": ("北京", "我昨天在北京大学图书馆看书。"),
    "seoul": ("서울", "어제 서울도서관에서 책을 읽었습니다."),
    "krungthep": ("กรุงเทพ", "เมื่อวานฉันไปห้องสมุดที่กรุงเทพมหานคร"),
    "wide": ("Wide", "\uff21\uff22\uff23 are letters of full width, and the oﬃce is near."),
    "long": ("長い", "前置き。" * 100 + "目的の言葉です。" + "後書き。" * 100),
    "accents": ("Accents", "Zoe\u0308 went to the cafe\u0301."),
}


@pytest.fixture
def polyglot(site: Site) -> Site:
    for slug, (title, body) in SCRIPTS.items():
        write_page(site.content, slug, body, title=title)
    secret = "はじめに。\n\n## 章\n\n秘密の鍵は箱の中。"
    write_page(site.content, "himitsu", secret, title="箱", access="premium")
    site.reindex()
    return site


def test_search_finds_words_within_a_run_of_letters(polyglot: Site) -> None:
    found = {
        "しりとり": ["shiritori"],  # in the middle of a run
        "遊": ["shiritori"],  # one letter
        "昨日 成語": ["shiritori"],
        "成語しり": ["shiritori"],
        "入門": ["shiritori"],
        "python": ["shiritori"],
        "Python入門": ["shiritori"],
        "バス": ["shiritori"],
        "ﾊﾞｽ": ["shiritori"],
        "ハ\u3099ス": ["shiritori"],
        "「しりとり」": ["shiritori"],
        "東京都": ["shiritori"],  # over the end of a line
        "りしと": [],
        "とりり": [],
        "しりとり 北京": [],
        "昨天": ["beijing"],
        "图书馆": ["beijing"],
        "京大学": ["beijing"],
        "도서관": ["seoul"],
        "도서": ["seoul"],
        "\u1103\u1169\u1109\u1165": ["seoul"],  # decomposed
        "ห้องสมุด": ["krungthep"],
        "สมุดที่": ["krungthep"],
        "สมิด": [],  # other marks
        "abc": ["wide"],
        "\uff41\uff42\uff43": ["wide"],
        "office": ["wide"],
        "zoë": ["accents"],
        "zoe\u0308 cafe\u0301": ["accents"],
    }
    assert {query: polyglot.found(query) for query in found} == found


def test_search_hidden_letters_of_a_run_are_found_only_with_access(polyglot: Site) -> None:
    assert polyglot.found("箱") == ["himitsu"]  # the title
    assert [polyglot.found(query) for query in ("秘密", "鍵", "密の鍵")] == [[], [], []]
    assert polyglot.found("密の鍵", SUBSCRIBER) == ["himitsu"]


def test_search_snippet_of_a_run_is_the_text_as_written_with_the_letters_marked(polyglot: Site) -> None:
    (card,) = polyglot.pages.search(db, "しりとり PYTHON", ANONYMOUS).cards
    assert str(card.snippet).startswith(
        "昨日は成語<mark>しりとり</mark>をして遊びました。<mark>Python</mark>入門の本、バス"
    )
    (card,) = polyglot.pages.search(db, "目的", ANONYMOUS).cards
    assert "前置き。<mark>目的</mark>の言葉です。後書き。" in str(card.snippet)
    assert (str(card.snippet)[0], str(card.snippet)[-1], len(str(card.snippet)) < 200) == ("…", "…", True)


def test_search_finds_letters_far_into_a_long_page(site: Site) -> None:
    """PostgreSQL keeps 256 positions of a letter, and 16,383 of a text."""
    write_page(site.content, "long", "あいうえお、" * 4000 + "おわりのことば")
    site.reindex()
    assert (site.found("おわりのことば"), site.found("わりおの")) == (["long"], [])


def test_search_notice_of_a_new_page_has_its_title_as_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: dict[str, str] = {}
    monkeypatch.setattr(live_broadcast, "notify_new_pages", lambda _session, new: titles.update(new))
    site.reindex()
    write_page(site.content, "kiroku", title="昨日の記録")
    site.reindex()
    assert titles == {"kiroku": "昨日の記録"}


# -- very common words ----------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search shows more than six results."""
    monkeypatch.setattr(find, "MOST_RESULTS", 6)


def read_on(site: Site, query: str, reader: Reader = ANONYMOUS, tag: str | None = None) -> tuple[list[str], int | None]:
    """Follow the results, two at a time, to their end; returns all, and the ``most`` of the last part."""
    found, offset = list[str](), 0
    while True:
        part = site.pages.search(db, query, reader, tag, offset=offset, limit=2)
        found += [card.slug for card in part.cards]
        if part.next is None:
            return found, part.most
        assert part.most is None
        offset = part.next


def write_common(site: Site, count: int, **front: object) -> set[str]:
    slugs = {f"text{number}" for number in range(count)}
    for slug in slugs:
        write_page(site.content, slug, "A harbour, and a harbour.", **front)
    return slugs


@pytest.mark.usefixtures("few")
def test_search_of_a_common_word_has_titles_first_each_page_once_and_says_that_there_is_more(site: Site) -> None:
    texts = write_common(site, 9)
    for number in range(3):
        write_page(site.content, f"title{number}", "Nothing else.", title=f"Harbour {number}")
    site.reindex()
    for query in ("harbour", "h"):
        found, most = read_on(site, query)
        assert (len(found), len(set(found)), most) == (6, 6, 6)
    found, _ = read_on(site, "harbour")
    assert set(found[:3]) == {"title0", "title1", "title2"}
    assert set(found[3:]) < texts


@pytest.mark.usefixtures("few")
def test_search_that_finds_as_many_as_are_shown_is_whole(site: Site) -> None:
    texts = write_common(site, 6)
    site.reindex()
    found, most = read_on(site, "harbour")
    assert (sorted(found), most) == (sorted(texts), None)


@pytest.mark.usefixtures("few")
def test_search_of_a_common_word_leaves_no_room_to_pages_that_the_reader_may_not_find(site: Site) -> None:
    texts = write_common(site, 5)
    for number in range(9):  # indexed later, and their public part has no such word
        body = "Opening.\n\n## Part\n\nThe harbour."
        write_page(site.content, f"zebra{number}", body, title=f"Zebra {number}", access="premium")
    site.reindex()
    assert set(read_on(site, "harbour")[0]) == texts
    assert len(read_on(site, "harbour", SUBSCRIBER)[0]) == 6


@pytest.mark.usefixtures("few")
def test_search_of_a_common_word_within_a_tag_finds_its_pages_only(site: Site) -> None:
    write_common(site, 9, tags="[sea]")
    for number in range(9):
        write_page(site.content, f"other{number}", "A harbour.", tags="[land]")
    write_page(site.content, "title", "Nothing else.", title="Harbour", tags="[sea]")
    site.reindex()
    found, most = read_on(site, "harbour", tag="sea")
    assert (found[0], most) == ("title", 6)
    assert all(slug.startswith("text") for slug in found[1:])


@pytest.mark.usefixtures("few")
def test_search_of_common_letters_with_marks_compares_the_marks(site: Site) -> None:
    for number in range(9):
        write_page(site.content, f"pan{number}", "ぱんと海")
        write_page(site.content, f"ban{number}", "ばんと海")
    site.reindex()
    found, most = read_on(site, "ぱん")
    assert (len(set(found)), most) == (6, 6)
    assert all(slug.startswith("pan") for slug in found)


# -- the query ------------------------------------------------------------------------------------------------------


def matches(query: str, levels: tuple[str, ...] = ("public",), limit: int = 10) -> list[tuple[str, str]]:
    statement = search_statement("sqlite", query, levels, limit)
    assert statement is not None
    with db.read() as session:
        return [(slug, snippet) for slug, snippet in session.execute(statement)]


def add_page(slug: str, body: str, scope: str = "full", access: str = "public") -> None:
    with db.write() as session:
        text = {"title": slug, "summary": "", "tags": "", "body": body}
        session.add(PageText(slug=slug, scope=scope, access=access, **text))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Lake  House", ["lake", "house"]),
        ('"lake" OR house*', ["lake", "or", "house"]),
        ("Zoe\u0308", ["zoë"]),
        ("a\x00b\ue000c", ["abc"]),
        ("it's", ["it", "s"]),
        ("湖 дом", ["湖", "дом"]),
        (" -- !? ", []),
        ("", []),
        ("w " * 50, ["w"] * 10),
        ("x" * 5000, ["x" * 200]),
    ],
)
def test_search_words_are_bounded_and_without_syntax(query: str, words: list[str]) -> None:
    assert search_words(query) == words


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_search_without_words_is_none(dialect: str) -> None:
    assert search_statement(dialect, "\x00 -- ", ("public",), 10) is None


def test_search_needs_every_word_and_marks_the_matches(at_work: Flask) -> None:
    add_page("one", "A lake beside the house.")
    add_page("two", "A lake alone.")
    assert matches("lake hou") == [("one", f"A {MARK_START}lake{MARK_END} beside the {MARK_START}house{MARK_END}.")]
    assert {slug for slug, _ in matches("LAKE")} == {"one", "two"}
    assert len(matches("lake", limit=1)) == 1


def test_search_shows_closed_text_only_to_readers_with_access(at_work: Flask) -> None:
    add_page("gold", "teaser of the lake", scope="open")
    add_page("gold", "teaser of the lake, and a secret", access="premium")
    assert matches("secret") == []
    assert [slug for slug, _ in matches("lake")] == ["gold"]
    assert [slug for slug, _ in matches("secret", ("public", "premium"))] == ["gold"]
    assert [slug for slug, _ in matches("lake", ("public", "premium"))] == ["gold"]


# -- results in parts -----------------------------------------------------------------------------------------------


def test_search_gives_its_results_in_parts(site: Site) -> None:
    for number in range(7):
        write_page(site.content, f"p{number}", "mahogany", tags="[even]" if number % 2 == 0 else "[odd one]")
    site.reindex()
    start: int | None = 0
    parts = []
    while start is not None:
        found = site.pages.search(db, "mahogany", ANONYMOUS, offset=start, limit=3)
        parts.append([card.slug for card in found.cards])
        assert found.previous == (max(0, start - 3) if start else None)
        start = found.next
    assert [len(part) for part in parts] == [3, 3, 1]
    assert sorted(slug for part in parts for slug in part) == [f"p{number}" for number in range(7)]
    assert sorted(site.found("mahogany", tag="odd one")) == ["p1", "p3", "p5"]
    assert site.found("mahogany", tag="odd") == []
    assert site.pages.search(db, "mahogany", ANONYMOUS, "odd one", limit=3).next is None


def test_search_with_a_tag_without_letters_finds_its_pages(site: Site) -> None:
    write_page(site.content, "cpp", "mahogany", tags="['++']")
    write_page(site.content, "other", "mahogany")
    site.reindex()
    assert site.found("mahogany", tag="++") == ["cpp"]


def test_search_page_that_was_closed_is_gone_before_the_watcher_sees_it(site: Site) -> None:
    site.reindex()
    pages = Pages(site.content, drafts=False, clock=site._clock)
    with pages.resting():
        pages.shelf.is_resting = False
        pages.library()
        pages.shelf.is_resting = True
        assert [card.slug for card in pages.search(db, "walnut", ANONYMOUS).cards] == ["open"]
        write_page(site.content, "open", "Other words.\n\n## Part\n\nMore walnut.", access="premium")
        assert pages.search(db, "walnut", ANONYMOUS).cards == []
