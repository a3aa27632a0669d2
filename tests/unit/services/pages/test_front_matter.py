"""Front matter: valid pages, and invalid ones with their reason."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.services.access import Access
from church.services.pages.front_matter import MAX_BYTES, FileVersion, InvalidPageError, Page, make_slug, parse_page


def parsed(text: str | bytes, path: str = "a.md", mtime_ns: int = 1_700_000_000_000_000_000) -> Page:
    data = text.encode() if isinstance(text, str) else text
    return parse_page(FileVersion(path, mtime_ns, len(data)), data)


def test_parse_page_reads_all_fields() -> None:
    page = parsed(
        "---\ntitle: Hello there\nsummary: What\ndate: 2026-01-31\naccess: members\n"
        "tags: [b, a, b]\ndraft: true\n---\n\nOne two.\n",
        "guide/hello.md",
    )
    assert (page.slug, page.title, page.summary) == ("guide/hello", "Hello there", "What")
    assert (page.date, page.access, page.tags) == (dt.date(2026, 1, 31), Access.MEMBERS, ("b", "a"))
    assert page.draft
    assert page.source == "One two."


def test_parse_page_title_alone_is_public_and_dated_by_the_file() -> None:
    page = parsed("---\ntitle: Hi\n---\n")
    assert (page.access, page.date, page.summary, page.tags) == (Access.PUBLIC, dt.date(2023, 11, 14), "", ())
    assert page.minutes == 1


@pytest.mark.parametrize("line", ["date: 2026-01-31", 'date: "2026-01-31"', "date: 2026-01-31 10:00:00"])
def test_parse_page_date_in_any_notation_is_that_day(line: str) -> None:
    assert parsed(f"---\ntitle: Hi\n{line}\n---\n").date == dt.date(2026, 1, 31)


def test_parse_page_splits_tags_at_commas() -> None:
    assert parsed("---\ntitle: Hi\ntags: one, two words,\n---\n").tags == ("one", "two words")


def test_parse_page_reads_a_windows_file() -> None:
    page = parsed(b"\xef\xbb\xbf---\r\ntitle: Hi\r\n---\r\nOne\r\ntwo\r\n")
    assert (page.title, page.source) == ("Hi", "One\ntwo")


def test_parse_page_counts_a_minute_for_220_words() -> None:
    assert [parsed(f"---\ntitle: Hi\n---\n{'word ' * n}").minutes for n in (1, 220, 221, 2200)] == [1, 1, 2, 10]


@pytest.mark.parametrize("nanoseconds", [-(10**18), 10**30])
def test_parse_page_accepts_an_impossible_mtime(nanoseconds: int) -> None:
    assert parsed("---\ntitle: Hi\n---\n", mtime_ns=nanoseconds).title == "Hi"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no front matter", "front matter"),
        ("---\ntitle: Hi\nno end", "no closing line"),
        ("---\n- a\n- list\n---\n", "name: value"),
        ("---\ntitle: [unclosed\n---\n", "front matter"),
        ("---\nsummary: no title\n---\n", "title"),
        ("---\ntitle: ''\n---\n", "title: is empty"),
        ("---\ntitle:\n---\n", "title: is empty"),
        ("+++\ntitle = 'Hi'\n+++\n", "TOML"),
        ("---title: Hi\n---\ntitle: Ha\n---\n", "must begin with a line of ---"),
        ("---\ntitle: Hi\n----\naccess: premium\n---\n", "line 4"),
        ("---\ntitle: [a, b]\n---\n", "title"),
        (f"---\ntitle: {'x' * 201}\n---\n", "title"),
        ("---\ntitle: Hi\naccess: everyone\n---\n", "access"),
        ("---\ntitle: Hi\naccess: Public\n---\n", "access"),
        ("---\ntitle: Hi\naccess:\n---\n", "access: is empty"),
        ("---\ntitle: Hi\naccess: null\n---\n", "access: is empty"),
        ("---\ntitle: Hi\naccess: [premium]\n---\n", "write public, members or premium"),
        ("---\ntitle: Hi\nseo:\n  access: premium\n---\n", "seo.access: counts only at the start of a line"),
        ("---\ntitle: Hi\nlist:\n- draft: true\n---\n", "list.0.draft"),
        ("---\ntitle: Hi\ndarft: true\n---\n", "did you mean draft"),
        ("---\ntitle: Hi\ndr\u0430ft: true\n---\n", "did you mean draft"),  # a Cyrillic letter
        ("---\ntitle: Hi\nacess: premium\n---\n", "did you mean access"),
        ("---\ntitle: Hi\nAccess: premium\n---\n", "did you mean access"),
        ("---\ntitle: Hi\nDraft: true\n---\n", "did you mean draft"),
        ("---\ntitle: Hi\ndate: 2026-02-31\n---\n", "date: write year, month and day"),
        ("---\ntitle: Hi\ndate: yesterday\n---\n", "date"),
        ("---\ntitle: Hi\ndate: 20260131\n---\n", "date"),
        ("---\ntitle: Hi\ndate: 2026-01-31 10:00 EST\n---\n", "date"),
        ("---\ntitle: Hi\ndraft: perhaps\n---\n", "draft: 'perhaps' is neither; write true or false"),
        ("---\ntitle: Hi\ndraft:\n---\n", "draft: is empty"),
        ("---\ntitle: Hi\ndraft: 1\n---\n", "draft"),
        ("---\ntitle: Hi\ntags: {a: b}\n---\n", "tags"),
        (f"---\ntitle: Hi\ntags: [{', '.join(f't{n}' for n in range(21))}]\n---\n", "tags"),
        ("---\ntitle: Hi\n---\nnul \0 here", "U+0000"),
        ('---\ntitle: "Hi\\0"\n---\n', "control character"),
        (b"---\ntitle: Hi\n---\n\xff\xfe", "not UTF-8"),
        (f"---\ntitle: Hi\nx: {'y' * 9000}\n---\n", "more than"),
        ("---\ntitle: Hi\n---\n" + "x" * MAX_BYTES, "too large"),
        ("---\n" + "[" * 5000 + "\n---\n", "front matter"),
    ],
)
def test_parse_page_refuses_an_invalid_file_with_the_reason(text: str | bytes, reason: str) -> None:
    with pytest.raises(InvalidPageError) as refused:
        parsed(text)
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("access: premium\nsummary: One.\naccess: public", "`access` is there twice (lines 3 and 5)"),
        ("draft: true\ndraft: false", "`draft` is there twice (lines 3 and 4)"),
        ('access: premium\n"access": public', "`access` is there twice"),
        ("Access: premium\naccess: public", "`Access` and `access` are the same name"),
        ("access: premium\n\uff41ccess: public", "are the same name"),
        ("access: premium\naccess\u200b: public", "are the same name"),
        ("access: premium # \u2028access: public", "`access` is there twice"),  # a line break to YAML 1.1
        ("image: {file: a.png, file: b.png}", "`file` is there twice (line 3)"),
        ("x: &level premium\naccess: *level", "&level is a reference"),
        ("<<: {access: premium}", "<< copies other lines"),
        ("access: premium\n...\naccess: public", "front matter: line"),
        ("access: premium\n--- # more\naccess: public", "a second document"),
        ("access: premium\n---\n\n---\naccess: public", "two blocks"),
        ("access: !!python/name:os.system x", "is a type"),
        ("? [a]\n: b", "a name must be text"),
        ("x: " + "{a: " * 20 + "b" + "}" * 20, "nested more than"),
    ],
)
def test_parse_page_refuses_front_matter_that_can_be_read_in_two_ways(lines: str, reason: str) -> None:
    with pytest.raises(InvalidPageError) as refused:
        parsed(f"---\ntitle: Hi\n{lines}\n---\ntext\n")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("summary: >\n  Of the bells.\n  access: premium", "access: line 5 is text of the field above"),
        ("summary: Of the bells.\n  access:premium", "access: line 4 is text"),
        ('summary: "One.\n  draft: true\n  Two."', "draft: line 4 is text"),
        ("access:premium:", "did you mean access"),
        ("draft=true: yes", "did you mean draft"),
        ("access \u2014 premium: yes", "did you mean access"),
        ("\u0430\u0441\u0441\u0435ss: premium", "did you mean access"),  # four Cyrillic letters
        ("---\naccess: premium", "`access: premium` is below"),
        ("summary: |\n---\ntags: a\ndraft: true", "`draft: true` is below"),
        ("---\n\n---\n  access: members", "`access: members` is below"),
        ("params:\n  publishDate: 2099-01-01", "params.publishDate: counts only"),
    ],
)
def test_parse_page_refuses_a_line_that_hides_the_page_nowhere(lines: str, reason: str) -> None:
    with pytest.raises(InvalidPageError) as refused:
        parsed(f"---\ntitle: Hi\n{lines}\n---\ntext\n")
    assert reason in str(refused.value)


def test_parse_page_accepts_text_about_access() -> None:
    body = "Access: by bus.\n\naccess: premium is a level.\n\n---\n\ndraft: true"
    page = parsed(f"---\ntitle: Access\nsummary: 'Draft: true'\n# access: premium\n---\n\nSee here:\n\n{body}\n")
    assert page.access == "public"
    assert not page.draft


def test_parse_page_keeps_text_that_yaml_makes_numbers_of() -> None:
    page = parsed(
        "---\ntitle: 1.10\nsummary: 12:30:00\n"
        "tags: [007, 1.10, 12:30:00, no, Yes, 1e3, 0x10, ~, null, 2026-01-31]\n---\n"
    )
    assert (page.title, page.summary) == ("1.10", "12:30:00")
    assert page.tags == ("007", "1.10", "12:30:00", "no", "Yes", "1e3", "0x10", "~", "null", "2026-01-31")


@pytest.mark.parametrize("empty", ["", "~", "null", "''"])
def test_parse_page_reads_an_empty_optional_field_as_absent(empty: str) -> None:
    page = parsed(f"---\ntitle: Hi\nsummary: {empty}\ndate: {empty}\ntags: {empty}\npassword: {empty}\n---\n")
    assert (page.summary, page.date, page.tags, page.opens) == ("", dt.date(2023, 11, 14), (), None)


@pytest.mark.parametrize(
    ("value", "draft"),
    [("yes", True), ("on", True), ("True", True), ('"true"', True), ("no", False), ("Off", False), ("FALSE", False)],
)
def test_parse_page_draft_in_every_word_for_it(value: str, draft: bool) -> None:
    assert parsed(f"---\ntitle: Hi\ndraft: {value}\n---\n").draft is draft


def test_parse_page_tags_of_composed_and_decomposed_letters_are_one() -> None:
    assert parsed("---\ntitle: Hi\ntags: [\u00fcber, u\u0308ber]\n---\n").tags == ("\u00fcber",)


@pytest.mark.parametrize(
    ("line", "opens"),
    [
        ("date: 2031-05-01", "2031-05-01T00:00:00+00:00"),
        ("date: 2031-05-01 10:00", "2031-05-01T10:00:00+00:00"),
        ("date: 2031-05-01 23:30:00 -0800", "2031-05-02T07:30:00+00:00"),
        ("date: 2031-05-01T09:15:00+02:00", "2031-05-01T07:15:00+00:00"),
        ("publishDate: 2031-05-01", "2031-05-01T00:00:00+00:00"),
        ("date: 2026-01-01\npublish_date: 2031-05-01", "2031-05-01T00:00:00+00:00"),
        ("published: 2031-05-01T08:00:00Z", "2031-05-01T08:00:00+00:00"),
    ],
)
def test_parse_page_opens_at_the_latest_moment_that_it_names(line: str, opens: str) -> None:
    page = parsed(f"---\ntitle: Hi\n{line}\n---\n")
    assert page.opens == page.published == dt.datetime.fromisoformat(opens)
    assert page.opens.utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize("path", ["../up.md", "/etc/x.md", "a//b.md", "a b.md", ".a.md", "a/.md", "a\\b.md", "x" * 250])
def test_slug_of_an_invalid_name_is_refused(path: str) -> None:
    with pytest.raises(InvalidPageError):
        make_slug(path)


def test_slug_keeps_letters_of_any_language_composed() -> None:
    assert make_slug("guide/u\u0308ber-v1.2_x.md") == "guide/\u00fcber-v1.2_x"


@given(st.text())
def test_slug_never_leaves_the_folder(path: str) -> None:
    try:
        slug = make_slug(path)
    except InvalidPageError:
        return
    assert not slug.startswith("/")
    assert not {"", ".", ".."} & set(slug.split("/"))
    assert not set(slug) & set("\\%?#\0 ")


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: f"---\n{text}\n---\n".encode())))
def test_parse_page_any_bytes_are_a_page_or_refused(data: bytes) -> None:
    try:
        page = parsed(data)
    except InvalidPageError:
        return
    assert page.title
