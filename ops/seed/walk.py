"""What has to cost about the same on a seeded site of any size: pages, lists, searches, jobs and the scrape.

``ops.bench.size`` measures it, and a test compares its statements and their plans on a small site and a larger one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from church.extensions import db
from church.jobs.registry import find_handler, registered_schedules
from church.models import PageText, StripeEvent, User, Video
from church.models.base import utc_now
from church.models.videos import VideoState
from church.services import sessions
from church.services.sessions import Device
from ops.seed.people import make_ref
from ops.seed.words import RAREST

VISITOR, MEMBER, ADMIN = "visitor", "member", "admin"
_USERS = {MEMBER: 8, ADMIN: 1}
"""Numbers of the accounts: number 8 pays."""
_BROWSER = Device("198.51.100.7", "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0")
UNLIMITED = {
    f"CHURCH_LIMIT_{name}": "1000000/second"
    for name in ("PAGE", "SEARCH", "API", "TELEMETRY_API", "ACCOUNT", "HISTORY")
}
"""Settings of a site that is walked again and again."""
_JSON = "#json"

PAGES: dict[str, tuple[str, str]] = {
    "home": (VISITOR, "/"),
    "a page": (VISITOR, "/pages/{page}"),
    "a page, signed in": (MEMBER, "/pages/{page}"),
    "list of pages": (VISITOR, "/pages/"),
    "list of pages, signed in": (MEMBER, "/pages/"),
    "list of pages, an old part": (VISITOR, "/pages/?after={old}~x"),
    "list of a month": (VISITOR, "/pages/?month={month}"),
    "list of a tag": (VISITOR, "/pages/?tag=garden"),
    "search, common word": (VISITOR, "/pages/?q=water"),
    "search, rare word": (VISITOR, "/pages/?q={rare}"),
    "search, two words": (MEMBER, "/pages/?q=water+{rare}"),
    "search, nothing found": (VISITOR, "/pages/?q=xylograph"),
    "feed": (VISITOR, "/feed.xml"),
    "sitemap": (VISITOR, "/sitemap.xml"),
    "videos": (VISITOR, "/video/"),
    "videos, signed in": (MEMBER, "/video/"),
    "videos, an old part": (VISITOR, "/video/?after={old}T000000.000000~1"),
    "search of videos": (VISITOR, "/video/?q=water"),
    "a video": (MEMBER, "/video/{video}"),
    "access to a video": (MEMBER, "/video/access/{video}"),
    "pricing": (VISITOR, "/stripe/pricing"),
    "account": (MEMBER, "/auth/account"),
    "invoices": (MEMBER, "/stripe/invoices"),
    "export of an account": (MEMBER, "/auth/export"),
    "live room": (MEMBER, "/live/public"),
    "live room, an old message": (MEMBER, "/live/public/20"),
    "overview": (ADMIN, "/admin/"),
    "health of the parts": (ADMIN, "/admin/health"),
    "members": (ADMIN, "/admin/members"),
    "members, of a day": (ADMIN, "/admin/members?day={old}"),
    "members, search": (ADMIN, "/admin/members?q={name}"),
    "members, search of an address": (ADMIN, "/admin/members?q={address}"),
    "members, nothing found": (ADMIN, "/admin/members?q=zzzzqq"),
    "a member": (ADMIN, "/admin/members/{member}"),
    "logs": (ADMIN, "/admin/logs"),
    "traces": (ADMIN, "/admin/traces"),
    "errors": (ADMIN, "/admin/errors"),
    "web vitals": (ADMIN, "/admin/vitals"),
    "a request": (ADMIN, "/admin/request/01a22ebf971025719a3fbd31"),
    "metrics": (ADMIN, "/admin/metrics"),
    "security": (ADMIN, "/admin/security"),
    "subscriptions": (ADMIN, "/admin/membership"),
    "subscriptions, past due": (ADMIN, "/admin/membership?status=past_due"),
    "subscriptions of a member": (ADMIN, "/admin/membership?member={member}"),
    "webhook events": (ADMIN, "/admin/membership/events"),
    "webhook events, failed": (ADMIN, "/admin/membership/events?state=failed"),
    "webhook events, of a day": (ADMIN, "/admin/membership/events?day={old}"),
    "a webhook event": (ADMIN, "/admin/membership/events/{event}"),
    "ledger": (ADMIN, "/admin/membership/ledger"),
    "ledger, of a day": (ADMIN, "/admin/membership/ledger?day={old}"),
    "ledger, one currency": (ADMIN, "/admin/membership/ledger?currency=jpy"),
    "ledger of a member": (ADMIN, "/admin/membership/ledger?member={member}"),
    "free passes": (ADMIN, "/admin/membership/grants"),
    "payments without a member": (ADMIN, "/admin/membership/unmatched"),
    "videos in the admin area": (ADMIN, "/admin/videos"),
    "a video in the admin area": (ADMIN, "/admin/videos/{video_ref}"),
    "reports": (ADMIN, "/admin/live"),
    "sanctions": (ADMIN, "/admin/live/sanctions"),
    "jobs": (ADMIN, "/admin/jobs"),
    "jobs, dead": (ADMIN, "/admin/jobs?state=dead"),
    "emails": (ADMIN, "/admin/mails"),
    "emails, failed": (ADMIN, "/admin/mails?state=failed"),
    "audit log": (ADMIN, "/admin/audit"),
    "audit log, of a day": (ADMIN, "/admin/audit?day={old}"),
    "audit log, one action": (ADMIN, "/admin/audit?action=grant.given"),
    "audit log of a member": (ADMIN, "/admin/audit?subject={member}"),
    "deliveries, 30 days": (ADMIN, "/dora"),
    "deliveries, a year": (ADMIN, "/dora?from={year_ago}"),
    "deliveries, five years": (ADMIN, "/dora?from={start}"),
    "deliveries as JSON": (ADMIN, "/dora#json"),
    "health": (VISITOR, "/health"),
    "scrape": (VISITOR, "/metrics"),
}
"""Name: who asks, and for what. Names in braces are places of the site."""


@dataclass(frozen=True)
class Walk:
    """A seeded site in this process: its app, its visitors and the places that ``PAGES`` names."""

    app: Flask
    clients: dict[str, FlaskClient]
    places: dict[str, str]

    def visit(self, name: str) -> int:
        """Ask for a page, read all of it, and return the status."""
        who, path = PAGES[name]
        headers = {"Accept": "application/json" if path.endswith(_JSON) else "text/html", "Accept-Encoding": "gzip"}
        answer = self.clients[who].get(path.removesuffix(_JSON).format(**self.places), headers=headers)
        answer.get_data()
        return answer.status_code

    def run_job(self, kind: str) -> None:
        """Run a scheduled job to its end."""
        with self.app.app_context():
            find_handler(kind)({})


_ASK_STRIPE = {"billing.reconcile", "billing.renewals", "billing.sync"}


def list_jobs() -> list[str]:
    """The scheduled jobs of the site that ask nobody else, in order of name."""
    return sorted(registered_schedules().keys() - _ASK_STRIPE)


@contextmanager
def walking(app: Flask) -> Iterator[Walk]:
    """Open a seeded site for a block; its member and its admin are signed in."""
    try:
        with app.app_context():
            clients = {VISITOR: app.test_client()}
            for who, number in _USERS.items():
                with db.write() as session:
                    user = session.scalars(select(User).where(User.id == number)).one()
                    token = sessions.start_session(session, user, _BROWSER)
                clients[who] = app.test_client()
                _sign_in(clients[who], token)
            places = _find_places()
        yield Walk(app, clients, places)
    finally:
        with app.app_context():
            db.dispose()


def _sign_in(client: FlaskClient, token: str) -> None:
    with client.session_transaction() as cookie:
        cookie.permanent = True
        cookie["_user_id"] = token


def _find_places() -> dict[str, str]:
    """Find things in the middle of the site, which no list shows first."""
    now = utc_now()
    with db.read() as session:
        name, address = session.execute(select(User.name, User.email).where(User.id == _USERS[MEMBER])).one()
        ready = select(Video.slug).where(Video.state == VideoState.READY.value).order_by(Video.id)
        return {
            "page": _middle(session, select(PageText.slug).where(PageText.scope == "full").order_by(PageText.slug)),
            "video": _middle(session, ready),
            "video_ref": make_ref(3, "videos"),
            "event": _middle(session, select(StripeEvent.id).order_by(StripeEvent.id)),
            "member": make_ref(_USERS[MEMBER], "users"),
            "name": name.split()[1][:4].lower(),
            "address": address,
            "rare": RAREST,
            "month": f"{now - timedelta(days=40):%Y-%m}",
            "old": f"{now - timedelta(days=180):%Y-%m-%d}",
            "year_ago": f"{now - timedelta(days=365):%Y-%m-%d}",
            "start": f"{now - timedelta(days=5 * 365):%Y-%m-%d}",
        }


def _middle(session: Session, query: Select[Any]) -> str:
    """The one in the middle of a query's first thousand."""
    found = session.scalars(query.limit(1000)).all()
    return str(found[len(found) // 2])
