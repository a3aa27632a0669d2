"""What the observatory keeps of people: no secret anywhere, and of members no more than is promised."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from flask import Flask
from sqlalchemy import text as sql

from church import create_app
from church.extensions import db
from church.services import telemetry_queries
from church.services.accounts.passwords import Sender, hash_password
from tests.support.live_fixture import Line
from tests.support.people import DEVICE, add_user, sign_in, with_cookie
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import ROOT, Site

# Each secret has one of the last two words in it, or is one of these numbers.
PASSWORD = "Quokka under the lantern 71"
EMAIL = "quokka.person@mail.example"
KEY = "sk_live_51quokkaAbCdEf0123456789"
SIGNATURE = "t=1796080637,v1=" + "ab12cd34" * 8
TOKEN = "church_0123456789ab_quokkaquokkaquokka"
LINK = "7.numbatnumbatnumbatnumbatnumbatnumbatnumbat9"
CARD, CARD_SPACED = "4111111111111111", "4111 1111 1111 1111"
MARKERS = ("quokka", "numbat", "lantern 71", CARD, CARD_SPACED, "ab12cd34ab12cd34")
_OBSERVE = """
import sys
from church.telemetry_store import store
from church.telemetry_store.observe import Plan, run
store.MOST_SECONDS = 0.5
sys.exit(run(Plan(sys.argv[1], sys.argv[2], 14, 1 << 30, sys.argv[3], None, "test")))
"""


class LeakySite(Site):
    """A site with ``/leak``, with workers, a job worker and a telemetry store that writes segments soon."""

    def command(self, *module: str) -> list[str]:
        """The command that starts a process of the site."""
        app = "tests.support.leaky_site:app"
        if module[0] == "gunicorn":
            return [*super().command(*module), app]
        return [sys.executable, "-m", "flask", "--app", app, *module[1:]]

    def observe(self) -> None:
        arguments = (str(self.settings.instance), str(self.logs), self.settings.bind)
        with self.console.open("ab") as console:
            command = [sys.executable, "-c", _OBSERVE, *arguments]
            self._processes.append(subprocess.Popen(command, cwd=ROOT, env=self.environment, stderr=console))
        wait_until(lambda: telemetry_queries.is_running(self.settings), "the telemetry store answers")

    def send(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Send a request of the site's own pages; returns the status and the headers of the answer."""
        headers = {"Origin": self.url, **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers

    def send_json(self, path: str, fields: dict[str, Any], **headers: str) -> tuple[int, Any]:
        return self.send(path, json.dumps(fields).encode(), **{**headers, "Content_Type": "application/json"})

    def ask(self, query: str, **args: Any) -> list[dict[str, Any]]:
        return telemetry_queries.ask(self.settings, query, **args).rows


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LeakySite]:
    site = LeakySite(tmp_path_factory.mktemp("leaky"), WEB_CONCURRENCY="1", CHURCH_TRACE_PATHS="/")
    try:
        site.start(work=True)
        site.observe()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def app(one: LeakySite) -> Iterator[Flask]:
    app = create_app(one.settings)
    yield app
    with app.app_context():
        db.dispose()


def cookie_of(app: Flask, **facts: Any) -> tuple[str, str]:
    """The cookie of a new account that is signed in, and the account's ref."""
    user = add_user(app, **facts)
    found = with_cookie(app.test_client(), sign_in(app, user)).get_cookie("church")
    assert found is not None
    return found.value, user.ref


def spill(one: LeakySite, app: Flask) -> str:
    """Bring every secret to the site in every way there is; returns the cookie of the member."""
    cookie, _ = cookie_of(app, email=EMAIL, password_hash=hash_in(app))
    asked = urllib.parse.urlencode({"password": PASSWORD, "token": TOKEN, "email": EMAIL, "q": f"{EMAIL} {CARD}"})
    headers = {
        "Cookie": f"church={cookie}; session={TOKEN}",
        "Authorization": f"Bearer {TOKEN}",
        "Referer": f"https://friends.example/{EMAIL}?token={TOKEN}",
        "User_Agent": f"Mozilla/5.0 {EMAIL} {TOKEN}",
        "X_Api_Key": KEY,
    }
    form = urllib.parse.urlencode({"email": EMAIL, "password": PASSWORD, "key": KEY, "card": CARD_SPACED}).encode()
    typed = {"email": EMAIL, "password": PASSWORD}
    assert one.send_json("/auth/login", {**typed, "password": PASSWORD + "2"})[0] == 401
    status, answer = one.send_json("/auth/login", typed)
    assert status == 200
    for path in (
        f"/pages/?{asked}",
        f"/pages/{urllib.parse.quote(EMAIL)}?{asked}",
        f"/auth/verify/{LINK}",
        f"/auth/reset/{LINK}?token={TOKEN}",
        f"/nowhere/token={TOKEN}/{KEY}?{asked}",
        f"/pages/?q=%3Cscript%3Ealert(1)%3C/script%3E+{EMAIL}&{asked}",
        f"/video/stream/{LINK}/1",
    ):
        one.send(path)
        one.send(path, **headers)
    one.send(f"/leak?{asked}", form, Cookie=f"church={cookie}")
    one.send("/leak", form, **headers)
    one.send_json("/auth/register", {**typed, "email": EMAIL.removesuffix(".example"), "name": EMAIL}, **headers)
    event = {"id": "evt_quokka", "type": "x", "data": {"object": {"email": EMAIL, "secret": KEY}}}
    one.send_json("/stripe/webhook", event, Stripe_Signature=SIGNATURE)
    for path in ("/api/telemetry/deployment", "/api/telemetry/errors", "/api/telemetry/vitals"):
        one.send_json(path, event, Authorization=f"Bearer {TOKEN}")
    speak(one, app, cookie)
    return str(answer["Set-Cookie"]).partition("=")[2].partition(";")[0]


def hash_in(app: Flask) -> str:
    with app.app_context():
        return hash_password(PASSWORD, Sender(DEVICE))


def speak(one: LeakySite, app: Flask, cookie: str) -> None:
    """Say the secrets in the chat, and sign in there with a forged token."""
    with Line(one.port, Cookie=f"church={cookie}") as line:
        line.say("auth", token=TOKEN)
        line.hear("auth_failed")
    with Line(one.port, Cookie=f"church={cookie}") as line:
        line.sign_in(None)
        line.enter("public")
        line.say("chat", room="public", text=f"{PASSWORD} {EMAIL} {KEY} <script>alert(1)</script>", client_id="a1")
        line.say("quokka", token=TOKEN, password=PASSWORD)
        line.hear("error")


def find(text: str, markers: tuple[str, ...]) -> list[str]:
    """The markers in a text, each with what is around it."""
    lowered = text.lower()
    places = [(lowered.find(marker.lower()), marker) for marker in markers]
    return [f"{marker}: …{text[max(0, place - 200) : place + 80]}…" for place, marker in places if place >= 0]


def read_segments(one: LeakySite) -> dict[str, str]:
    """All rows of each table in Parquet files, as text."""
    found: dict[str, str] = {}
    with duckdb.connect(config={"threads": 1}) as connection:
        for table in ("logs", "traces", "errors", "samples", "profiles"):
            files = sorted(map(str, (one.settings.instance / "observatory/segments").glob(f"{table}-*.parquet")))
            if files:
                rows = connection.execute("SELECT * FROM read_parquet(?)", [files]).fetchall()
                found[table] = "\n".join(map(str, rows))
    return found


def is_all_kept(one: LeakySite) -> bool:
    """Whether the failures of the request and the job are in segments."""
    found = read_segments(one)
    jobs = "test.leak" in found.get("errors", "") and "test.leak" in found.get("traces", "")
    return jobs and "/leak" in found["errors"] and "live.closed" in found.get("logs", "")


@pytest.fixture(scope="module")
def spilled(one: LeakySite, app: Flask) -> tuple[str, ...]:
    """What must be nowhere, once all of it was sent and kept."""
    cookie = spill(one, app)
    assert len(cookie) > 40
    wait_until(lambda: is_all_kept(one), "everything is in segments")
    return (*MARKERS, cookie, cookie.split(".")[0])


def test_no_secret_is_in_a_log_file(one: LeakySite, spilled: tuple[str, ...]) -> None:
    files = [path for path in one.logs.rglob("*") if path.is_file()]
    assert {"combined.log", "traces.log"} <= {path.name for path in files}
    assert [path.name + found for path in (*files, one.console) for found in find(path.read_text(), spilled)] == []


def test_no_secret_is_in_a_segment(one: LeakySite, spilled: tuple[str, ...]) -> None:
    texts = read_segments(one)
    assert {"logs", "traces", "errors", "samples"} <= texts.keys()
    assert [table + found for table, text in texts.items() for found in find(text, spilled)] == []
    kept = (path for path in (one.settings.instance / "observatory").iterdir() if path.is_file())
    assert [path.name for path in kept if find(path.read_bytes().decode("latin-1"), spilled)] == []


def test_no_secret_is_in_a_label(one: LeakySite, spilled: tuple[str, ...]) -> None:
    assert find(one.get("/metrics")[1].decode(), spilled) == []


def list_pages(one: LeakySite) -> Iterator[str]:
    """The pages of the admin area that show what was kept."""
    span = {"from": 0, "to": 1 << 52}
    yield from ("logs?range=1h&all=1", "logs.jsonl?range=1h&all=1", "traces?range=1h", "errors?range=1h")
    yield from ("metrics", "metrics?metric=http_requests_total", "security?range=1h", "health", "jobs")
    for error in one.ask("errors.groups", **span, limit=50):
        yield f"errors/{error['fingerprint']}"
    for trace in one.ask("traces.list", **span, limit=200):
        yield f"traces/{trace['trace_id']}"
        yield f"request/{trace['request_id']}"


def test_no_secret_is_on_a_page(one: LeakySite, app: Flask, spilled: tuple[str, ...]) -> None:
    cookie, _ = cookie_of(app, email="root@church.example", role="admin")
    pages = list(list_pages(one))
    assert len(pages) > 30
    shown = set()
    for page in pages:
        for accept in ("text/html", "application/json"):
            status, body = one.get(f"/admin/{page}", Cookie=f"church={cookie}", Accept=accept)
            assert status == 200, page
            assert find(body.decode(), spilled) == [], page
            shown.update(re.findall(r"LookupError|test\.leak|/leak", body.decode()))
    assert shown == {"LookupError", "test.leak", "/leak"}


# -- members ----------------------------------------------------------------------------------------------------------


def wait_for_record(one: LeakySite, **wanted: Any) -> dict[str, Any]:
    """The newest access record with these fields, from the log."""

    def found() -> list[dict[str, Any]]:
        records = reversed(one.records())
        return [record for record in records if record["event"] == "http.request" and wanted.items() <= record.items()]

    wait_until(found, f"the record of {wanted}")
    return found()[0]


def test_record_of_a_member_has_the_path_only_on_failures(one: LeakySite, app: Flask) -> None:
    cookie, ref = cookie_of(app, email="bea@church.example")
    for path, status, route, is_shown in (
        ("/auth/account", 200, "/auth/account", False),
        ("/pages/no-such-page", 404, "/pages/<path:slug>", True),
    ):
        assert one.get(path, Cookie=f"church={cookie}")[0] == status
        record = wait_for_record(one, user_ref=ref, status=status)
        assert (record["route"], record.get("path")) == (route, path if is_shown else None)
    one.get("/pages/?q=nets")
    assert "user_ref" not in wait_for_record(one, path="/pages/", status=200)


def test_trace_and_error_of_a_member_have_the_route_and_no_path(one: LeakySite, app: Flask) -> None:
    cookie, ref = cookie_of(app, email="cyd@church.example")
    form = urllib.parse.urlencode({"password": "p", "email": "e", "key": "k", "card": "c"}).encode()
    assert one.send("/leak?private=thing", form, Cookie=f"church={cookie}")[0] == 500
    tables = ("traces", "errors")
    wait_until(lambda: all(one.ask("members.records", user_ref=ref, table=name) for name in tables), "both are kept")
    for name in tables:
        for row in one.ask("members.records", user_ref=ref, table=name):
            assert row["route"] == "/leak"
            assert "private" not in str(row)


def test_web_vitals_have_no_page_and_no_person(one: LeakySite, app: Flask) -> None:
    cookie, ref = cookie_of(app, email="dot@church.example")
    sent = {"route": "/pages/<path:slug>", "device": "desktop", "lcp": 1.2, "path": "/pages/private-thing"}
    assert one.send_json("/api/telemetry/vitals", sent, Cookie=f"church={cookie}")[0] == 204
    one.get("/pages/the-next-one")
    wait_for_record(one, path="/pages/the-next-one")
    figures, records = one.get("/metrics")[1].decode(), str(one.records())
    assert 'route="/pages/<path:slug>"' in figures
    assert "private-thing" not in figures + records
    assert ref not in figures + records


def test_export_has_the_records_and_a_deleted_account_leaves_none_that_are_its_own(one: LeakySite, app: Flask) -> None:
    password = "eleven grey herons"
    with app.app_context():
        hashed = hash_password(password, Sender(DEVICE))
    cookie, ref = cookie_of(app, email="eve@church.example", password_hash=hashed)
    admin, _ = cookie_of(app, email="ann@church.example", role="admin")
    own = {"Cookie": f"church={cookie}", "Accept": "application/json"}
    one.get("/auth/account", **own)
    wait_until(lambda: one.ask("members.records", user_ref=ref, table="logs"), "the record is kept")
    exported = json.loads(one.get("/auth/export", **own)[1])
    assert exported["account"]["ref"] == ref
    assert "/auth/account" in {record.get("route") for record in exported["records"]["logs"]}
    assert exported["records"]["note"] is None
    assert one.send_json("/auth/delete", {"password": password}, Cookie=own["Cookie"])[0] == 200
    left = find_everywhere(app, ref)
    assert left == []
    assert one.get(f"/admin/members/{ref}", Cookie=f"church={admin}")[0] == 404
    deletion = wait_for_record(one, route="/auth/delete", status=200)
    assert "user_ref" not in deletion
    assert one.ask("members.records", user_ref=ref, table="logs") != []  # of no one's now


def find_everywhere(app: Flask, text: str) -> list[str]:
    """The tables of the database that have the text in any column."""
    with app.app_context(), db.read() as session:
        names = session.scalars(sql("SELECT name FROM sqlite_master WHERE type = 'table'")).all()
        plain = [name for name in names if not re.search("_texts|_search|^sqlite_", name)]
        return [
            name for name in plain if any(text in str(row) for row in session.execute(sql(f'SELECT * FROM "{name}"')))
        ]
