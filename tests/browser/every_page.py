"""A list of every kind of page, with its path, the role that opens it, and how to produce error pages."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Page, Route

from church.database.engines import sqlite_path
from church.models.accounts import Purpose
from church.web import maintenance
from tests.support.pages_fixture import write_page
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import ROOT, Site

PAGES = {
    "home": "/",
    "list": "/pages/",
    "search": "/pages/?q=backup",
    "search without results": "/pages/?q=zzzz&tag=basics",
    "tag": "/pages/?tag=running",
    "unknown tag": "/pages/?tag=nonesuch",
    "pages from a month on": "/pages/?month=9999-12",
    "topics": "/pages/?tags=all",
    "topics of a letter": "/pages/?tags=r",
    "public page": "/pages/writing-a-page",
    "members teaser": "/pages/reading-the-metrics",
    "premium teaser": "/pages/under-load",
    "page with long words": "/pages/extremes",
    "videos": "/video/",
    "videos found": "/video/?q=film",
    "no videos found": "/video/?q=zzzz",
    "video": "/video/film",
    "video teaser": "/video/closed",
    "join": "/auth/register",
    "join and come back": "/auth/register?next=/pages/under-load",
    "sign in": "/auth/login",
    "sign in and come back": "/auth/login?next=/pages/under-load",
    "forgotten password": "/auth/forgot",
    "live, signed out": "/live",
    "email sent to confirm": "/auth/sent/register",
    "email sent to reset": "/auth/sent/forgot",
}

STATUSES = {"unknown tag": 404}
"""The status of each page that is not 200."""

# The role that opens each page, and its path.
OWN_PAGES = {
    "account": ("member", "/auth/account"),
    "unconfirmed account": ("unverified", "/auth/account"),
    "email sent to a new address": ("member", "/auth/sent/email"),
    "email sent again": ("unverified", "/auth/sent/verification"),
    "deletion": ("member", "/auth/delete"),
    "members page": ("member", "/pages/reading-the-metrics"),
    "teaser for an unconfirmed account": ("unverified", "/pages/reading-the-metrics"),
    "teaser for a member": ("member", "/pages/under-load"),
    "home of an admin": ("admin", "/"),
    "overview": ("admin", "/admin/"),
    "health": ("admin", "/admin/health"),
    "found by the box": ("admin", "/admin/find?q=me"),
    "settings": ("admin", "/admin/settings"),
    "logs": ("admin", "/admin/logs"),
    "logs of a day": ("admin", "/admin/logs?range=24h&level=WARNING&all=1&event=http.request"),
    "traces": ("admin", "/admin/traces?order=slowest"),
    "errors": ("admin", "/admin/errors"),
    "web vitals": ("admin", "/admin/vitals"),
    "a request": ("admin", "/admin/request/01a22ebf971025719a3fbd31"),
    "metrics": ("admin", "/admin/metrics"),
    "security": ("admin", "/admin/security"),
    "security with an address to block": ("admin", "/admin/security?network=203.0.113.7"),
    "members": ("admin", "/admin/members"),
    "member search without results": ("admin", "/admin/members?q=zzzz"),
    "a member": ("admin", "/admin/members/{member}"),
    "own account of an admin": ("admin", "/admin/members/{admin}"),
    "a webhook event": ("admin", "/admin/membership/events/{billing.failed_event}"),
    "a subscriber": ("admin", "/admin/members/{billing.subscriber}"),
    "subscriptions": ("admin", "/admin/membership"),
    "webhook events": ("admin", "/admin/membership/events"),
    "ledger": ("admin", "/admin/membership/ledger"),
    "ledger of a subscriber": ("admin", "/admin/membership/ledger?member={billing.subscriber}"),
    "complimentary premium": ("admin", "/admin/membership/grants"),
    "complimentary premium, none": ("admin", "/admin/membership/grants?state=ended"),
    "payments without a member": ("admin", "/admin/membership/unmatched"),
    "payments without a member, none": ("admin", "/admin/membership/unmatched?state=dismissed"),
    "videos in the admin area": ("admin", "/admin/videos"),
    "a video in the admin area": ("admin", "/admin/videos/{film}"),
    "upload of a video": ("admin", "/admin/videos/new"),
    "live room": ("member", "/live/public"),
    "muted and banned": ("admin", "/admin/live/sanctions?member={member}"),
    "notice to all": ("admin", "/admin/live/notice"),
    "jobs": ("admin", "/admin/jobs"),
    "mails": ("admin", "/admin/mails"),
    "audit log": ("admin", "/admin/audit"),
    "audit log up to a day": ("admin", "/admin/audit?action=account.registered&day=2020-02-29"),
    "delivery": ("admin", "/dora"),
}

LINKS = {
    "confirm an address": Purpose.VERIFY,
    "confirm a new address": Purpose.CHANGE_EMAIL,
    "choose a password": Purpose.RESET,
    "become the admin": Purpose.FIRST_ADMIN,
}

# Pages of links that are used up or expired.
SPENT_LINKS = {
    "confirmed already": "/auth/verify/1.spent",
    "changed already": "/auth/email/1.spent",
    "reset already": "/auth/reset/1.spent",
}

_LONG = "averylongwordthatgoesonandonwithoutanyplaceatwhichitcouldbebrokenandmustnotwidenthepage"
_EXTREMES = f"""{_LONG} and https://example.org/{_LONG}?{_LONG} and `{_LONG}`.

## The part {_LONG}

| {" | ".join(["Column"] * 9)} |
| {" | ".join(["---"] * 9)} |
| {_LONG} | `{_LONG}` {"| cell " * 7}|

```python
{_LONG} = "{_LONG}"
```

!!! danger "{_LONG}"
    {_LONG}

- {_LONG}
    - {_LONG}
        - `{_LONG}`

> {_LONG}[^1]

[^1]: {_LONG}
"""


def write_content(folder: Path) -> Path:
    """Write the demo pages, and one with very long words."""
    shutil.copytree(ROOT / "content", folder)
    front = {"date": "2026-01-01", "tags": f"[basics, {_LONG[:40]}]", "summary": _LONG}
    write_page(folder, "extremes", _EXTREMES, title=_LONG, **front)
    return folder


GUARDED = {
    "CHURCH_THREATS": "block",
    "CHURCH_LIMIT_SEARCH": "1/hour",
    "CHURCH_MAX_BODY": "16384",
    "METRICS_TOKEN": "uX7-pQ2_vN9kLm4RtY8wZb3CdF6gHj1S",
    "WEB_CONCURRENCY": "1",
}


def refused_attack(site: Site) -> str:
    """Return the URL of a search that a blocking site answers with 403."""
    return f"{site.url}/pages/?q=<script>alert(1)</script>"


def _post(page: Page, url: str, body: str, content_type: str) -> None:
    """Open ``url`` with a POST of ``body`` that no form of the site sends."""

    def as_post(route: Route) -> None:
        headers = {**route.request.headers, "content-type": content_type}
        route.continue_(method="POST", post_data=body, headers=headers)

    page.route(url, as_post)
    page.goto(url)
    page.unroute(url)


def _in_maintenance(page: Page, site: Site) -> None:
    maintenance.turn_on(site.settings)
    try:
        wait_until(lambda: site.get("/")[0] == 503, "maintenance is on")
        page.goto(site.url)
    finally:
        maintenance.turn_off(site.settings)
        wait_until(lambda: site.get("/")[0] == 200, "maintenance is off")


_DAMAGED = (
    "INSERT INTO videos (ref, slug, title, description, access_level, state, progress, source_name, source_bytes,"
    " has_poster, has_thumbs, plain, chapters, created_at, published_at) VALUES ('damaged', 'damaged', 'Damaged', '',"
    " 'public', 'ready', 100, 'a.mp4', 1, 0, 0, 0, 'no JSON', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
)


def _of_a_damaged_row(page: Page, site: Site) -> None:
    with closing(sqlite3.connect(sqlite_path(site.settings))) as database, database:
        database.execute(_DAMAGED)
    try:
        page.goto(f"{site.url}/video/damaged")
    finally:
        with closing(sqlite3.connect(sqlite_path(site.settings))) as database, database:
            database.execute("DELETE FROM videos WHERE ref = 'damaged'")


def _over_the_limit(page: Page, site: Site) -> None:
    site.get("/pages/?q=first")
    page.goto(f"{site.url}/pages/?q=second")


_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"

ERRORS: dict[int, Callable[[Page, Site], object]] = {
    400: lambda page, site: _post(page, f"{site.url}/", "[" * 4000 + "]" * 4000, _JSON),
    401: lambda page, site: page.goto(f"{site.url}/metrics"),
    403: lambda page, site: page.goto(refused_attack(site)),
    404: lambda page, site: page.goto(f"{site.url}/pages/nothing-here"),
    405: lambda page, site: _post(page, f"{site.url}/", "a=b", _FORM),
    413: lambda page, site: _post(page, f"{site.url}/pages/", "a=" + "b" * 20_000, _FORM),
    429: _over_the_limit,
    500: _of_a_damaged_row,
    503: _in_maintenance,
}
