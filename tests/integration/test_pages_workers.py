"""The pages under two real gevent workers: attackers' paths as sent, edits while it runs, the index by the queue."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.pages_fixture import HIDDEN, small_library, write_page
from tests.services_fixture import wait_until
from tests.site_fixture import Site

START = Callable[..., Site]


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    small_library(folder)
    (tmp_path / "secret.md").write_text(f"---\ntitle: Outside\n---\n{HIDDEN}")
    return folder


def raw(site: Site, target: str) -> tuple[int, str]:
    """Status and answer for ``target`` exactly as written, which no client library would send."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
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


def test_traversal_in_every_encoding_is_404_and_logged(site: START, content: Path) -> None:
    running = site(CHURCH_CONTENT=str(content))
    for target in TARGETS:
        status, answer = raw(running, target)
        assert status == 404, target
        assert HIDDEN not in answer
        assert "root:" not in answer
    events = running.value("security_events_total", event_type="path_traversal")
    # No view is asked for a NUL, nor for a slug with a leading slash: the threat scan may see those alone.
    assert events >= len([target for target in TARGETS if "%00" not in target]) - 2

    def logged() -> set[str]:
        return {str(r["path"]) for r in running.records() if r.get("event") == "security.path_traversal"}

    # In a flood each is counted, but only so many a second are written.
    wait_until(lambda: len(logged()) >= 6, "they are in the log")


def test_traversal_that_is_no_valid_request_is_refused(site: START, content: Path) -> None:
    running = site(CHURCH_CONTENT=str(content))
    for target in ("/pages/\xc0\xae\xc0\xae/secret", "/pages/" + "../" * 1400, "/pages/../\x01secret"):
        status, answer = raw(running, target)
        assert status in {400, 404, 414}, target
        assert HIDDEN not in answer


def test_hidden_text_reaches_nobody_by_any_link(site: START, content: Path) -> None:
    running = site(CHURCH_CONTENT=str(content))
    seen, todo = (
        set[str](),
        ["/", "/feed.xml", "/sitemap.xml", "/robots.txt", f"/pages/?q={HIDDEN}", "/pages/?q=opening"],
    )
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        status, body = running.get(path)
        text = body.decode("utf-8", "replace")
        if "q=" not in path:
            assert HIDDEN not in text, path
        else:
            assert "<mark>" not in text or HIDDEN not in re.sub(r"<[^m/][^>]*>|<q>.*?</q>|<title>.*?</title>", "", text)
        assert status in {200, 404}, path
        found = re.findall(r'(?:href|src)="(/[^"#]*)', text) + re.findall(rf"{running.url}(/[^<\"#]*)", text)
        todo += [link.replace("&amp;", "&") for link in found]
    assert {"/pages/open", "/pages/club", "/pages/gold", "/pages/guide/first"} <= seen


def shows_everywhere(site: Site, word: str) -> bool:
    """Whether twenty answers in a row have it: both workers have seen the edit."""
    return all(word.encode() in site.get("/pages/open")[1] for _ in range(20))


def test_edit_shows_on_every_worker_while_many_read(site: START, content: Path) -> None:
    running = site(CHURCH_CONTENT=str(content))
    statuses: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            statuses.append(running.get("/pages/open")[0])

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for word in ("Chestnut", "Hickory", "Mahogany"):
            write_page(content, "open", f"{word} words.")
            wait_until(partial(shows_everywhere, running, word), f"{word} shows")
    finally:
        stop.set()
        for reader in readers:
            reader.join(20)
    assert set(statuses) == {200}
    assert not running.records("error.log")


def test_bad_pages_leave_the_site_up_and_are_logged(site: START, content: Path) -> None:
    (content / "nul.md").write_bytes(b"---\ntitle: x\n---\n\0")
    (content / "latin.md").write_bytes(b"---\ntitle: caf\xe9\n---\n")
    write_page(content, "typo", access="publik")
    running = site(CHURCH_CONTENT=str(content))
    assert running.get("/pages/open")[0] == 200
    assert [running.get(f"/pages/{slug}")[0] for slug in ("nul", "latin", "typo")] == [404] * 3

    def logged() -> set[str]:
        return {str(r["page"]) for r in running.records() if r.get("event") == "pages.invalid"}

    wait_until(lambda: logged() == {"nul.md", "latin.md", "typo.md"}, "the bad pages are in the log")


def test_page_views_are_counted_by_level_and_outcome(site: START, content: Path) -> None:
    running = site(CHURCH_CONTENT=str(content))
    for _ in range(3):
        running.get("/pages/open")
        running.get("/pages/gold")
    running.get("/pages/nope")
    counted = "content_access_total"
    assert running.value(counted, content_type="page", access_level="public", outcome="granted") == 3
    assert running.value(counted, content_type="page", access_level="premium", outcome="teaser") == 3
    assert running.value(counted, outcome="not_found") == 1


def test_search_query_that_is_slow_for_regexes_is_answered(site: START, content: Path) -> None:
    running = site(CHURCH_CONTENT=str(content))
    for query in ("(a+)+$", "a" * 3000 + "!", "\0", "' OR '1'='1"):
        assert running.get(f"/pages/?q={quote(query)}")[0] == 200
