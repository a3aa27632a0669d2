"""The menus of every page mark where the reader is, and the texts fit who reads them."""

from __future__ import annotations

import re

import pytest

from church.models.accounts import Role
from tests.support.browsing import Browser
from tests.support.membership_fixture import Membership
from tests.support.pages_fixture import small_library, write_page

pytestmark = pytest.mark.sqlite_alone

MARKED = re.compile(r'<a href="([^"]+)"[^>]*? aria-current="(page|true)"')
HEADER = re.compile(r'<header class="site-header">.*?</header>', re.S)
ELSEWHERE = {"/health", "/ready", "/metrics", "/ws", "/feed.xml", "/sitemap.xml", "/sitemap-1.xml", "/robots.txt"}
SECTIONS = {
    "/pages": "/pages/",
    "/live": "/live",
    "/video": "/video/",
    "/stripe": "/stripe/pricing",
    "/admin": "/admin/",
    "/dora": "/admin/",
}
"""The entry of the header that is marked below each of these paths."""


@pytest.fixture
def site(membership: Membership) -> Membership:
    small_library(membership.settings.content)
    return membership


def browser_of(site: Membership, role: str | None) -> Browser:
    return site.browser(site.add(role=role) if role else None)


def list_paths(site: Membership) -> list[str]:
    """Every page without arguments, and one of each other kind."""
    rules = [
        rule.rule for rule in site.app.url_map.iter_rules() if "GET" in (rule.methods or ()) and not rule.arguments
    ]
    others = [
        "/pages/open",
        "/pages/gold",
        "/pages/?q=walnut",
        "/live/public",
        "/live/premium",
        "/auth/sent/verification",
    ]
    return sorted({*rules, *others} - ELSEWHERE)


def expected_entry(path: str, signed_in: bool) -> str | None:
    """The header's entry for ``path``; None if there is none."""
    bare = path.partition("?")[0]
    for start, entry in SECTIONS.items():
        if bare.startswith(start):
            return entry
    if bare.startswith("/auth/"):
        return "/auth/account" if signed_in else bare if bare in {"/auth/login", "/auth/register"} else None
    return bare


@pytest.mark.parametrize("role", [None, Role.MEMBER.value, Role.ADMIN.value])
def test_header_marks_the_current_entry_and_no_other_on_every_page(site: Membership, role: str | None) -> None:
    browser = browser_of(site, role)
    seen = set()
    for path in list_paths(site):
        answer = browser.get(path, headers={"Accept": "text/html"})
        if answer.mimetype != "text/html" or answer.status_code in {301, 302, 303}:
            continue
        marked = MARKED.findall(HEADER.findall(answer.text)[0])
        entry = expected_entry(path, role is not None)
        if 'class="error-status"' in answer.text:
            assert marked == [], path
        else:
            exact = "page" if entry == path.partition("?")[0] else "true"
            assert marked == ([(entry, exact)] if entry else []), path
            seen.add(entry)
    assert {"/", "/pages/", "/video/", "/stripe/pricing", "/live"} <= seen
    assert ("/admin/" in seen) == (role == "admin")


def test_admin_menu_marks_the_current_page_on_every_page(site: Membership) -> None:
    browser = browser_of(site, "admin")
    menu = re.compile(r'<nav class="sections".*?</nav>', re.S)
    for path in list_paths(site):
        if path.startswith("/admin/"):
            found = menu.findall(browser.get(path, headers={"Accept": "text/html"}).text)
            if found:
                assert len(MARKED.findall(found[0])) == 1, path


def test_footer_marks_the_legal_page_that_is_open(site: Membership) -> None:
    write_page(site.settings.content, "terms")
    footer = site.browser().get("/pages/terms").text.partition("<footer")[2]
    assert MARKED.findall(footer) == [("/pages/terms", "page")]


@pytest.mark.parametrize(
    ("reader", "covers"),
    [
        ("visitor", "Search covers all public pages and the beginning of the others."),
        ("unconfirmed", "Search covers all public pages and the beginning of the others."),
        ("member", "Search covers all pages for members and the beginning of premium pages."),
        ("subscriber", None),
        ("admin", None),
    ],
)
def test_search_without_results_says_what_it_covers_for_this_reader(
    site: Membership, reader: str, covers: str | None
) -> None:
    user = None
    if reader != "visitor":
        user = site.add(verified=reader != "unconfirmed", role="admin" if reader == "admin" else "member")
    if reader == "subscriber" and user is not None:
        site.subscribed(user)
    text = " ".join(site.browser(user).get("/pages/?q=nothinghere").text.split())
    assert "No results. Try fewer words." in text
    assert re.findall(r"Search covers[^.<]*\.", text) == ([covers] if covers else [])
