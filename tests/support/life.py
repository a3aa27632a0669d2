"""Generate an hour of a site's activity in seconds: everything that a dashboard panel or an alert rule shows."""

from __future__ import annotations

import http.cookiejar
import json
import urllib.error
import urllib.request
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Self

from flask import Flask

from church import create_app
from church.extensions import db
from church.models.base import utc_now
from tests.support import load
from tests.support.live_fixture import Line, token_of
from tests.support.people import PASSWORD, add_user
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site
from tests.support.till_fixture import TillProcess
from tests.support.video_fixture import add_ready

TOKEN = "loop-" + "0123456789abcdef" * 2
LIMITS = {
    "CHURCH_LIMIT_SEARCH": "3/second",
    "CHURCH_LIMIT_LOGIN_ACCOUNT": "1/hour",
    "CHURCH_LIMIT_CHAT": "4/hour",
    **{
        f"CHURCH_LIMIT_{name}": "1000000/minute"
        for name in ("LOGIN", "REGISTER", "RESET", "TOKEN", "ACCOUNT", "WEBHOOK")
    },
}
"""Limits that are reached soon. Hourly ones are reached by a new account each time. Limits by IP address are lifted,
because all visitors have the same one."""
ROOM = "public"
SEARCH = "/pages/?q=backup"


class Visitor:
    """A client with cookies that sends and receives JSON."""

    def __init__(self, site: Site, **headers: str) -> None:
        self._site = site
        self._headers = {"Accept": "application/json", "Content-Type": "application/json", **headers}
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def ask(self, path: str, data: Any = None, wanted: int = 200, **headers: str) -> Any:
        """GET, or POST ``data``, and return the answer, parsed if it is JSON. Fails unless the status is ``wanted``."""
        status, answer = self.try_to(path, data, **headers)
        if status != wanted:
            raise AssertionError(f"{path} was answered with {status}: {answer!r}")
        return answer

    def try_to(self, path: str, data: Any = None, **headers: str) -> tuple[int, Any]:
        """Like ``ask``, but accept any status, and return it too."""
        body = json.dumps(data).encode() if data is not None else None
        own = {**self._headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        request = urllib.request.Request(self._site.url + path, body, own)
        try:
            with self._opener.open(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            with answer:
                status, text = answer.code, answer.read()
        return status, json.loads(text) if text.startswith((b"{", b"[")) else text


class Life:
    """The people and machines around ``site``."""

    def __init__(self, site: Site, till: TillProcess) -> None:
        self.site, self.till = site, till
        self.app: Flask = create_app(site.settings)
        self.machine = Visitor(site, Authorization=f"Bearer {TOKEN}")
        self._number = 0
        self.ada = add_user(self.app, "ada@church.example")
        with self.app.app_context():
            add_ready("harbour", b"0123456789" * 5000, access_level="public")
            add_ready("lagoon", access_level="premium")

    def __enter__(self) -> Self:
        """Keep one visitor on the chat page all the time."""
        self._window = Line(self.site.port)
        self._window.hear("welcome")
        return self

    def __exit__(self, *_: object) -> None:
        self._window.socket.close()
        with self.app.app_context():
            db.dispose()

    def an_hour(self) -> None:
        """Run all activities once, with new accounts each time."""
        self._number += 1
        member = self._arrive()
        self._read(member)
        self._watch(member)
        self._talk(member)
        self._pay()
        self._attack()
        self._deliver()
        if self._number % 2 == 0:
            member.ask("/auth/logout", {})

    def _arrive(self) -> Visitor:
        """Register accounts, guess a password and a link, and sign Ada in."""
        visitor, member = Visitor(self.site), Visitor(self.site)
        new = {"email": f"new-{self._number}@church.example", "password": PASSWORD, "name": "New"}
        visitor.ask("/auth/register", new, 202)
        visitor.ask("/auth/register", {**new, "email": self.ada.email}, 202)
        visitor.ask("/auth/register", {}, 422)
        wrong = {"email": f"nobody-{self._number}@church.example", "password": "not the password at all"}
        for status in (401, 429):
            visitor.ask("/auth/login", wrong, status)
        visitor.ask("/auth/reset", {"token": "made-up", "password": PASSWORD}, 400)
        visitor.ask("/auth/token", {}, 401)
        member.ask("/auth/login", {"email": self.ada.email, "password": PASSWORD})
        return member

    def _read(self, member: Visitor) -> None:
        for path in ("/", "/pages/", "/pages/privacy", "/pages/under-load", "/auth/account"):
            member.ask(path)
        for path in ("/pages/nothing", "/nowhere"):
            member.ask(path, wanted=404)
        member.ask("/admin/", wanted=403)
        wait_until(self._search_too_often, "a search is refused")

    def _search_too_often(self) -> bool:
        """Search from several connections at once. Returns whether one was rate-limited."""
        tally = load.run(self.site.port, [SEARCH], 4, lambda requests: requests >= 3)
        return tally.answers[SEARCH, 429] > 0

    def _watch(self, member: Visitor) -> None:
        member.ask(member.ask("/video/access/harbour")["url"])
        member.ask("/video/access/lagoon", wanted=403)
        member.ask("/video/stream/harbour?token=made.up", wanted=403)

    def _talk(self, member: Visitor) -> None:
        """Let two members chat, one of them too much."""
        token = member.ask("/auth/token", {})["token"]
        guest = token_of(self.app, add_user(self.app, f"guest-{self._number}@church.example", password_hash="x"))
        with ExitStack() as stack:
            first, second = (stack.enter_context(Line(self.site.port)) for _ in range(2))
            for line, of_member in ((first, guest), (second, token)):
                line.sign_in(of_member)
                line.enter(ROOM)
            for number in range(6):
                first.say("chat", room=ROOM, message=f"{self._number}.{number}", client_id=f"{self._number}.{number}")
            second.hear("chat", lambda frame: frame["message"] == f"{self._number}.0")
            first.hear("error")
            second.say("auth", token="made up")
            second.hear("auth_failed")
        with Line(self.site.port, Origin="https://evil.example") as refused:
            assert refused.status == 403, refused.head

    def _pay(self) -> None:
        """Subscribe a new account at the test till, refund a part, and send a forged webhook."""
        ref = add_user(self.app, f"payer-{self._number}@church.example", password_hash="x").ref
        account = {"client_reference_id": ref, "subscription_data": {"metadata": {"church_user": ref}}}
        subscription = self.till.subscribe(**account)
        charge = self.till.charge(self.till.latest_invoice(subscription["id"]))["id"]
        self.till.operate("refund", charge=charge, amount="200")
        Visitor(self.site).ask("/stripe/webhook", {"id": "evt_1"}, 400, Stripe_Signature="t=1,v1=00")

    def _attack(self) -> None:
        Visitor(self.site).try_to("/?q=%3Cscript%3Ealert(1)%3C/script%3E&f=../../../../etc/passwd")
        Visitor(self.site, Origin="https://evil.example").ask("/auth/logout", {}, 400)
        Visitor(self.site, Authorization="Bearer made-up").ask("/api/telemetry/incident", {}, 401)

    def _deliver(self) -> None:
        """Report a failed deployment, a successful one, a hotfix, and a resolved incident."""
        now, name = utc_now(), f"life-{self._number}"
        committed = (now - timedelta(hours=2)).isoformat()
        for part, (status, kind) in enumerate((("failure", "normal"), ("success", "normal"), ("success", "hotfix"))):
            commits = [{"sha": f"{self._number:04x}{part:04x}", "committed_at": committed}]
            times = {"finished_at": (now - timedelta(minutes=20)).isoformat(), "commits": commits}
            facts = {"id": f"{name}.{part}", "environment": "production", "status": status, "kind": kind}
            self.machine.ask("/api/telemetry/deployment", facts | times, 201)
        incident = {"id": name, "environment": "production", "title": "Broken", "deployment": f"{name}.1"}
        ended = {"opened_at": (now - timedelta(minutes=10)).isoformat(), "resolved_at": now.isoformat()}
        self.machine.ask("/api/telemetry/incident", incident | ended, 201)
