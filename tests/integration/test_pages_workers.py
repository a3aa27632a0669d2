"""The pages under two real gevent workers: hostile paths, edits while the site runs, the index by the queue."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.pages_fixture import HIDDEN, small_library, write_page
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site, running


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "content"
    small_library(folder)
    (folder.parent / "secret.md").write_text(f"---\ntitle: Outside\n---\n{HIDDEN}")
    return folder


@pytest.fixture(scope="module")
def site(content: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run one site for all tests: they only read, and edit pages."""
    with running(tmp_path_factory.mktemp("site"), CHURCH_CONTENT=str(content)) as one:
        yield one


def raw(site: Site, target: str) -> tuple[int, str]:
    """Request ``target`` exactly as written, which no client library would send. Returns status and answer."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=60) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode("utf-8", "replace")
    return int(answer.split(" ", 2)[1]), answer


TARGETS = [
    "/pages/../../secret",
    "/pages/../secret.md",
    "/pages/%2e%2e/secret",
    "/pages/%2e%2e%2fsecret",
    "/pages/..%2fsecret",
    "/pages/..%252fsecret",
    "/pages/%252e%252e%252fsecret",
    "/pages/..%5csecret",
    "/pages/..\\secret",
    "/pages/%c0%ae%c0%ae%c0%afsecret",
    "/pages/....//secret",
    "/pages/open%00.md",
    "/pages/%2fetc%2fpasswd",
    "/pages//etc/passwd",
    "/pages/guide/../../../secret",
    "/pages/" + "../" * 200 + "etc/passwd",
]


def test_traversal_in_every_encoding_is_404_and_logged(site: Site, content: Path) -> None:
    before = site.value("security_events_total", event_type="path_traversal")
    for target in TARGETS:
        status, answer = raw(site, target)
        assert status == 404, target
        assert HIDDEN not in answer
        assert "root:" not in answer
    events = site.value("security_events_total", event_type="path_traversal") - before
    # Slugs with a NUL or a leading slash reach no view; only the threat scan sees them.
    assert events >= len([target for target in TARGETS if "%00" not in target]) - 2

    def logged() -> set[str]:
        return {str(r["path"]) for r in site.records() if r.get("event") == "security.path_traversal"}

    # In a flood, every event is counted, but only some each second are logged.
    wait_until(lambda: len(logged()) >= 6, "they are in the log")


def test_traversal_in_an_invalid_request_is_refused(site: Site, content: Path) -> None:
    for target in ("/pages/\xc0\xae\xc0\xae/secret", "/pages/" + "../" * 1400, "/pages/../\x01secret"):
        status, answer = raw(site, target)
        assert status in {400, 404, 414}, target
        assert HIDDEN not in answer


def test_hidden_text_is_behind_no_link(site: Site, content: Path) -> None:
    seen, todo = (
        set[str](),
        ["/", "/feed.xml", "/sitemap.xml", "/robots.txt", f"/pages/?q={HIDDEN}", "/pages/?q=opening"],
    )
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        status, body = site.get(path)
        text = body.decode("utf-8", "replace")
        if "q=" not in path:
            assert HIDDEN not in text, path
        else:
            assert "<mark>" not in text or HIDDEN not in re.sub(r"<[^m/][^>]*>|<q>.*?</q>|<title>.*?</title>", "", text)
        assert status in {200, 404}, path
        found = re.findall(r'(?:href|src)="(/[^"#]*)', text) + re.findall(rf"{site.url}(/[^<\"#]*)", text)
        todo += [link.replace("&amp;", "&") for link in found]
    assert {"/pages/open", "/pages/club", "/pages/gold", "/pages/guide/first"} <= seen


def shows_everywhere(site: Site, word: str) -> bool:
    """Whether twenty answers in a row contain ``word``, so that both workers have seen the edit."""
    return all(word.encode() in site.get("/pages/open")[1] for _ in range(20))


def test_edit_is_shown_by_every_worker_under_load(site: Site, content: Path) -> None:
    errors = len(site.records("error.log"))
    statuses: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            statuses.append(site.get("/pages/open")[0])

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for word in ("Chestnut", "Hickory", "Mahogany"):
            write_page(content.parent / "desk", "open", f"{word} words.").replace(content / "open.md")
            wait_until(partial(shows_everywhere, site, word), f"{word} shows")
    finally:
        stop.set()
        for reader in readers:
            reader.join(90)
    assert set(statuses) == {200}
    assert len(site.records("error.log")) == errors


def test_invalid_pages_are_logged_and_the_site_works(site: Site, content: Path) -> None:
    (content / "nul.md").write_bytes(b"---\ntitle: x\n---\n\0")
    (content / "latin.md").write_bytes(b"---\ntitle: caf\xe9\n---\n")
    write_page(content, "typo", access="publik")
    assert site.get("/pages/open")[0] == 200

    def logged() -> set[str]:
        site.get("/pages/")
        return {str(r["page"]) for r in site.records() if r.get("event") == "pages.invalid"}

    wait_until(lambda: logged() == {"nul.md", "latin.md", "typo.md"}, "the bad pages are in the log")
    assert [site.get(f"/pages/{slug}")[0] for slug in ("nul", "latin", "typo", "open")] == [404, 404, 404, 200]


def test_page_views_are_counted_by_level_and_outcome(site: Site, content: Path) -> None:
    def counted() -> list[float]:
        name = "content_access_total"
        return [
            site.value(name, content_type="page", access_level="public", outcome="granted"),
            site.value(name, content_type="page", access_level="premium", outcome="teaser"),
            site.value(name, outcome="not_found"),
        ]

    before = counted()
    for _ in range(3):
        site.get("/pages/open")
        site.get("/pages/gold")
    site.get("/pages/nope")
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [3, 3, 1]


def test_search_query_that_is_slow_for_regexes_is_answered(site: Site, content: Path) -> None:
    for query in ("(a+)+$", "a" * 3000 + "!", "\0", "' OR '1'='1"):
        assert site.get(f"/pages/?q={quote(query)}")[0] == 200
