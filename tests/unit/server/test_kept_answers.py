"""The door sends what the app would send, counts what it would count, and nothing that is out of date."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, url_for

from church.blueprints import markdown
from church.extensions import db
from church.lib.host.host_mark import HostMark
from church.observability.metrics import definitions
from church.services import videos
from church.services.audit import Actor
from church.services.pages import current_pages, file_check
from church.services.videos import newest
from church.services.videos.newest import mark_changed
from church.web import answer_cache, identity, maintenance
from tests.support.door_fixture import DoorSite, DoorSocket, count_all
from tests.support.helpers import captured_log, grows, with_settings
from tests.support.kept_traces import KeptTraces
from tests.support.pages_fixture import make_site, small_library, write_page
from tests.support.people import add_user, client_of
from tests.support.pictures import make_png
from tests.support.video_fixture import add_ready

KEPT = ["/", "/pages/", "/pages/?tag=all", "/pages/open", "/pages/guide/first", "/feed.xml", "/sitemap.xml"]
KEPT += ["/robots.txt", "/health", "/static/css/site.css", "/video/", "/pages/?tags=all", "/pages/?month=2026-12"]
KEPT += ["/brand/icon.svg"]
EXAMPLES = {"markdown.page": "open", "static": "css/site.css", "brand.file": "icon.svg", "markdown.picture": "open.png"}
"""What stands in the place of an argument, by endpoint."""
CLI = Actor(via="cli")
CODINGS = ["", "identity", "gzip", "br", "gzip, br", "gzip;q=0", "*", "br;q=0, *", "gzip;q=0.5, br;q=0.1", "deflate"]


def at_once(_name: str, run: Callable[..., None], *args: Any) -> None:
    """Start a thread that has ended when it is started."""
    run(*args)


@pytest.fixture(autouse=True)
def _compress_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache, "start_beside", at_once)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    small_library(tmp_path / "content")
    return tmp_path / "content"


@pytest.fixture
def site(tmp_path: Path, content: Path) -> Iterator[DoorSite]:
    app = make_site(tmp_path, CHURCH_SITE_URL="https://church.example")
    yield DoorSite(app)
    with app.app_context():
        db.dispose()


def refresh(app: Flask) -> None:
    """Look at the folder of pages, as the process does that watches it."""
    with app.app_context():
        current_pages().refresh()


# -- the same as the app ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", KEPT)
def test_kept_answers_are_the_apps_byte_for_byte(site: DoorSite, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
    monkeypatch.setattr("church.blueprints.status.datetime", SimpleNamespace(now=lambda _zone: now))
    monkeypatch.setattr("church.blueprints.status.time", SimpleNamespace(monotonic=lambda: 10.0))
    monkeypatch.setattr("church.blueprints.status._resident_bytes", lambda: 4096)
    for coding in CODINGS:
        options: dict[str, Any] = {"Accept_Encoding": coding} if coding else {}
        for _ in range(answer_cache._BEST_AFTER + 1):
            site.get(target, **options)
        for form in ({}, {"method": "HEAD"}, {"version": "1.0"}, {"Connection": "close"}, {"Cookie": "theme=dark"}):
            kept, fresh = site.get(target, **options, **form), site.get_fresh(target, **options, **form)
            assert kept.by_door, (coding, form)
            assert kept.shape == fresh.shape, (coding, form)
            assert len(kept.headers["x-request-id"]) == 24


def test_these_are_all_routes_that_are_kept(site: DoorSite, content: Path) -> None:
    (content / "open.png").write_bytes(make_png(4, 4))
    write_page(content, "open", "![A wood](open.png)", title="Open page")
    with site.app.test_request_context():
        add_ready("harbour")
        walked = {
            rule.endpoint: url_for(rule.endpoint, **dict.fromkeys(rule.arguments, EXAMPLES.get(rule.endpoint, 1)))
            for rule in site.app.url_map.iter_rules()
            if "GET" in (rule.methods or ())
        }
        walked |= {"video.watch": "/video/harbour", "video.access": "/video/access/harbour"}
    refresh(site.app)
    kept = set()
    for endpoint, target in walked.items():
        *_, last = (site.get(target) for _ in range(3))
        if last.by_door:
            kept.add(endpoint)
        assert last.status < 500, target
    adapter = site.app.url_map.bind("")
    assert kept == {adapter.match(target.partition("?")[0])[0] for target in KEPT}


@pytest.mark.parametrize("target", [target for target in KEPT if target != "/health"])
def test_kept_answers_are_unchanged_for_clients_that_have_them(site: DoorSite, target: str) -> None:
    for coding in ("identity", "gzip", "br"):
        etag = site.get_kept(target, Accept_Encoding=coding).headers["etag"]
        for form in ({}, {"If_Modified_Since": "Mon, 30 Nov 2026 12:00:00 GMT"}, {"method": "HEAD"}):
            options: dict[str, Any] = {"Accept_Encoding": coding, "If_None_Match": etag, **form}
            site.get(target, **{**options, "method": "GET"})
            kept = site.get(target, **options)
            assert kept.by_door
            assert kept.status == 304
            assert kept.shape == site.get_fresh(target, **options).shape


@pytest.mark.parametrize(
    "condition",
    [
        {"If_None_Match": '"other"'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": "Mon, 30 Nov 2099 12:00:00 GMT"},
        {"If_Match": '"x"'},
        {"Range": "bytes=0-9"},
    ],
)
def test_other_conditions_are_compared_by_the_app(site: DoorSite, condition: dict[str, str]) -> None:
    site.get_kept("/pages/open")
    sent = site.get("/pages/open", **condition)
    assert not sent.by_door
    assert sent.shape == site.get_fresh("/pages/open", **condition).shape


def test_an_answer_has_one_date(site: DoorSite) -> None:
    for sent in (site.get("/"), site.get("/")):
        assert [line.partition(":")[0] for line in sent.lines].count("Date") == 1


def test_the_best_compression_replaces_the_ordinary_one(site: DoorSite) -> None:
    options = {"Accept_Encoding": "br"}
    ordinary = site.get("/pages/open", **options)
    for _ in range(answer_cache._BEST_AFTER):
        site.get("/pages/open", **options)
    best = site.get("/pages/open", **options)
    assert len(best.body) < len(ordinary.body)
    assert best.text == ordinary.text
    assert best.headers["etag"] == ordinary.headers["etag"]
    assert int(best.headers["content-length"]) == len(best.body)


# -- what is counted ---------------------------------------------------------------------------------------------------


def mixed_load(site: DoorSite, door: bool) -> None:
    ask = site.get if door else site.get_fresh
    etag = ""
    for target in KEPT:
        for options in ({}, {"method": "HEAD"}, {"Accept_Encoding": "br"}, {"X_Request_ID": "theirs-1"}):
            etag = ask(target, **options).headers.get("etag", "")
        ask(target, If_None_Match=etag)
        ask(target, If_None_Match=etag)
    ask("/pages/club")
    ask("/pages/nowhere")
    ask("/pages/open", User_Agent="<script>alert(1)</script>")
    ask("/pages/?q=words")


def test_metrics_grow_the_same_through_the_door_and_without(site: DoorSite) -> None:
    for warm in range(5):
        mixed_load(site, door=warm % 2 == 0)  # series begin, and every answer is compressed as well as it will be
    grown = []
    for door in (True, False):
        before = count_all()
        mixed_load(site, door)
        after = count_all()
        grown.append({key: after[key] - before[key] for key in after if after[key] != before[key]})
    through, without = grown
    assert through.keys() == without.keys()
    differing = {key[0] for key in through if through[key] != without[key]}
    assert differing <= {"http_response_bytes_total"}  # fewer, as they are compressed better
    assert any(key[0] == "content_access_total" for key in through)
    assert any(key[0] == "suspicious_activity_total" for key in through)


def test_a_kept_answer_has_an_access_record_like_any_other(site: DoorSite) -> None:
    site.get("/pages/open")
    with captured_log() as sink:
        kept, fresh = [ask("/pages/open", X_Request_ID="theirs") for ask in (site.get, site.get_fresh)]
    assert kept.by_door
    records = [record for record in sink.records if record["event"] == "http.request"]
    assert [record["request_id"] for record in records] == [kept.headers["x-request-id"], fresh.headers["x-request-id"]]
    own = {"timestamp", "duration_ms", "cpu_ms", "request_id"}
    first, second = ({name: value for name, value in record.items() if name not in own} for record in records)
    assert first == second
    assert first["client_request_id"] == "theirs"


def test_the_bytes_of_a_kept_answer_are_counted(site: DoorSite) -> None:
    sent = site.get_kept("/pages/open")
    with grows(definitions.http_response_bytes.labels("/pages/<path:slug>"), len(sent.body)):
        site.get("/pages/open")
    with grows(definitions.http_response_bytes.labels("/pages/<path:slug>"), 0):
        site.get("/pages/open", method="HEAD")


def test_limit_counts_kept_answers_and_is_counted_once(site: DoorSite) -> None:
    site.app.config["CHURCH"] = with_settings(site.app.config["CHURCH"], limit_page="4/minute")
    statuses = [site.get("/pages/open") for _ in range(6)]
    assert [(sent.status, sent.by_door) for sent in statuses] == [
        (200, False),
        *[(200, True)] * 3,
        *[(429, False)] * 2,
    ]
    site.peer = ("192.0.2.99", 1)
    assert site.get("/pages/open").by_door


def test_an_attack_is_recorded_once_by_the_app(site: DoorSite) -> None:
    site.get_kept("/pages/open")
    with grows(definitions.suspicious_activity.labels("xss", "header")):
        assert not site.get("/pages/open", User_Agent="<script>alert(1)</script>").by_door


def test_a_kept_answer_is_traced_as_the_apps_would_be(site: DoorSite, kept: KeptTraces) -> None:
    site.get_kept("/pages/open")
    kept.clear()
    sent = site.get("/pages/open", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert sent.by_door
    (trace,) = kept.traces
    assert (trace["name"], trace["kept"], trace["spans"]) == ("GET /pages/<slug>", "asked", [])
    assert trace["request_id"] == sent.headers["x-request-id"]
    assert "parent_span_id" not in trace  # a stranger's parent decides nothing


def test_telemetry_turned_off_leaves_the_answer_without_an_id(tmp_path: Path, content: Path) -> None:
    site = DoorSite(make_site(tmp_path, CHURCH_TELEMETRY="false"))
    kept = site.get_kept("/pages/open")
    assert kept.shape == site.get_fresh("/pages/open").shape
    assert "x-request-id" not in kept.headers


# -- who gets a kept answer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "__Host-church=x"},
        {"Cookie": "theme=dark; __Host-church = x"},
        {"Cookie": "__Host-church"},
        {"Authorization": "Bearer eyJx"},
        {"Upgrade": "websocket"},
        {"Content_Length": "0"},
        {"Content_Type": "text/html"},
        {"Expect": "100-continue"},
        {"Host": "bad host"},
    ],
)
def test_unusual_requests_go_to_the_app(site: DoorSite, headers: dict[str, str]) -> None:
    site.get_kept("/pages/open")
    sent = site.get("/pages/open", **headers)
    assert not sent.by_door
    assert sent.status == site.get_fresh("/pages/open", **headers).status


@pytest.mark.parametrize(
    "raw",
    [
        b"GET //church.example/pages/open HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://other.example/pages/open HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /pages/open HTTP/1.1\r\n\r\n",
        b"GET /pages/open HTTP/1.1\r\nHost: x\r\nAccept: a\r\nAccept: b\r\n\r\n",
        b"POST /pages/open HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_unusual_heads_go_to_the_app(site: DoorSite, raw: bytes) -> None:
    site.get_kept("/pages/open")
    assert not site.send(raw).by_door


def test_a_proxy_names_client_and_request(tmp_path: Path, content: Path) -> None:
    site = DoorSite(make_site(tmp_path, CHURCH_TRUSTED_PROXIES="192.0.2.0/24"))
    site.get_kept("/pages/open")
    with captured_log() as sink:
        sent = site.get("/pages/open", X_Forwarded_For="198.51.100.7, 192.0.2.5", X_Request_ID="of-the-proxy")
        site.peer = ("203.0.113.1", 1)
        stranger = site.get("/pages/open", X_Forwarded_For="198.51.100.7", X_Request_ID="of-a-stranger")
    assert sent.by_door
    assert stranger.by_door
    assert sent.headers["x-request-id"] == "of-the-proxy"
    assert stranger.headers["x-request-id"] != "of-a-stranger"
    assert [record["ip"] for record in sink.records if record["event"] == "http.request"] == [
        "198.51.100.7",
        "203.0.113.1",
    ]


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        (("127.0.0.1", 1), {}),
        (("192.0.2.1", 1), {}),
        (("127.0.0.1", 1), {"X_Forwarded_For": "127.0.0.1"}),
        (("127.0.0.1", 1), {"Via": "1.1 proxy"}),
    ],
)
def test_health_tells_details_to_this_machine_alone(
    site: DoorSite, monkeypatch: pytest.MonkeyPatch, peer: Any, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(type(site.app.config["CHURCH"]), "production", property(lambda _self: True))
    site.get("/health")
    site.peer = peer
    kept, fresh = site.get("/health", **headers), site.get_fresh("/health", **headers)
    assert kept.by_door
    assert (b"memory" in kept.body) == (b"memory" in fresh.body) == (peer[0] == "127.0.0.1" and not headers)
    assert int(kept.headers["content-length"]) == len(kept.body)


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["/pages/club", "/pages/?q=words", "/pages/nowhere", "/pages/open?x=1", "/auth/login"]
)
def test_private_answers_and_unknown_parameters_are_never_kept(site: DoorSite, target: str) -> None:
    for _ in range(3):
        assert not site.get(target).by_door


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "evil", "X_Forwarded_For": "evil"},
        {"Accept_Language": "evil"},
        {"Accept": "application/json"},
        {"Cookie": "other=evil; session=evil"},
        {"Referer": "https://evil.example/", "Origin": "https://evil.example"},
        {"User_Agent": "evil"},
        {"X_Original_URL": "/evil", "Forwarded": "host=evil"},
        {"X_Request_ID": "evil"},
    ],
)
def test_no_header_of_a_visitor_gets_into_what_is_kept(site: DoorSite, headers: dict[str, str]) -> None:
    for target in ("/", "/pages/open", "/feed.xml", "/health"):
        site.get(target, **headers)
        kept = site.get(target)
        assert kept.by_door
        assert b"evil" not in kept.raw
        if target != "/health":
            assert kept.shape == site.get_fresh(target).shape


def test_the_answer_of_a_member_is_never_kept(site: DoorSite) -> None:
    member = client_of(site.app, add_user(site.app)).get_cookie("__Host-church")
    assert member is not None
    for _ in range(2):
        sent = site.get("/", Cookie=f"__Host-church={member.value}")
        assert not sent.by_door
        assert "private" in sent.headers["cache-control"]
    stranger = site.get("/")
    assert not stranger.by_door
    assert "public" in stranger.headers["cache-control"]


def test_an_answer_that_sets_a_cookie_is_not_kept(site: DoorSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache, "repeat", lambda *_args: identity.remember_page("/pages/open"))
    for _ in range(3):
        sent = site.get("/pages/open")
        assert "set-cookie" in sent.headers
        assert not sent.by_door


# -- what is out of date -----------------------------------------------------------------------------------------------


def test_a_page_that_changes_or_closes_is_dropped(site: DoorSite, content: Path) -> None:
    assert b"walnut" in site.get_kept("/pages/open").body
    write_page(content, "open", "Cedar words.", title="Open page")
    refresh(site.app)
    sent = site.get("/pages/open")
    assert not sent.by_door
    assert b"Cedar" in sent.body
    write_page(content, "open", "Cedar words, closed.", title="Open page", access="members")
    refresh(site.app)
    sent = site.get("/pages/open")
    assert not sent.by_door
    assert b"private" in sent.raw


@pytest.mark.parametrize("target", ["/pages/open", "/feed.xml"])
def test_a_page_whose_file_closes_is_dropped_although_nobody_watches(
    site: DoorSite, content: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(file_check, "_FRESH_SECONDS", 0.0)
    assert b"walnut" in site.get_kept(target).text
    assert site.get(target).by_door
    with site.app.app_context(), current_pages().resting():  # on a network folder the next look may take a minute
        write_page(content, "open", "Walnut words.\n\n## Part\n\nMore *walnut*.", title="Open page", access="premium")
        sent = site.get(target)
        assert not sent.by_door
        assert b"walnut" not in sent.text


def test_a_page_that_is_removed_is_dropped_from_lists_too(site: DoorSite, content: Path) -> None:
    for target in ("/", "/pages/", "/feed.xml", "/sitemap.xml"):
        assert b"guide/first" in site.get_kept(target).body
    (content / "guide" / "first.md").unlink()
    refresh(site.app)
    for target in ("/", "/pages/", "/feed.xml", "/sitemap.xml"):
        sent = site.get(target)
        assert not sent.by_door
        assert b"guide/first" not in sent.body


def test_a_page_that_changes_while_it_is_answered_is_not_kept(
    site: DoorSite, content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = markdown.answer_page

    def renders_slowly(*args: Any, **context: Any) -> Any:
        answer = render(*args, **context)
        monkeypatch.setattr(markdown, "answer_page", render)
        write_page(content, "open", "Cedar words.", title="Open page")
        current_pages().refresh()
        return answer

    monkeypatch.setattr(markdown, "answer_page", renders_slowly)
    assert b"walnut" in site.get("/pages/open").body
    sent = site.get("/pages/open")
    assert not sent.by_door
    assert b"Cedar" in sent.body


def test_a_video_that_is_removed_is_dropped(site: DoorSite) -> None:
    with site.app.app_context():
        ref = add_ready("harbour").ref
        mark_changed()
    assert b"harbour" in site.get_kept("/").body
    with site.app.app_context():
        videos.delete_video(ref, CLI)
    sent = site.get("/")
    assert not sent.by_door
    assert b"harbour" not in sent.body


def test_a_video_that_another_process_changes_is_dropped(site: DoorSite) -> None:
    site.get_kept("/")
    with site.app.app_context():
        add_ready("harbour")
    HostMark(site.app.config["CHURCH"].instance / "videos.mark")[0] = 4711
    sent = site.get("/")
    assert not sent.by_door
    assert b"harbour" in sent.body


def test_nothing_is_sent_while_a_change_of_the_videos_is_not_looked_at(site: DoorSite) -> None:
    site.get_kept("/")
    with site.app.app_context():
        mark_changed()
    assert not site.get("/").by_door
    assert site.get("/").by_door  # that one has looked, and nothing had changed


def test_the_door_waits_for_no_database(site: DoorSite, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    site.get_kept("/")
    monkeypatch.setattr(newest, "_look", lambda *seen: looked.append(seen))
    monkeypatch.setattr(newest, "start_beside", lambda *_thread: None)
    shelf = site.app.extensions["video_shelf"]
    shelf.check_at = 0.0
    assert site.get("/").by_door  # another thread looks
    shelf.looked_at -= newest._TRUSTED_SECONDS
    assert newest.find_version(site.app) is None
    assert looked == []


def test_videos_of_another_host_are_seen_by_the_look_beside(site: DoorSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "start_beside", at_once)
    site.get_kept("/")
    with site.app.app_context():
        add_ready("harbour")
    site.app.extensions["video_shelf"].check_at = 0.0
    site.get("/")
    sent = site.get("/")
    assert not sent.by_door
    assert b"harbour" in sent.body


def test_a_static_file_that_changes_is_dropped_with_the_pages_that_link_it(
    site: DoorSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.get_kept("/")
    site.get_kept("/static/css/site.css")
    site.get_kept("/robots.txt")
    assets = site.app.extensions["assets"]
    monkeypatch.setattr(assets, "_due", 0.0)
    name = "css/site.css"
    assets._cache[name] = (0.0, 1, assets._cache[name][2])  # as if it had another time before
    assert not site.get("/").by_door
    assert not site.get("/static/css/site.css").by_door


def test_an_answer_is_kept_for_a_minute_at_most(site: DoorSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.get_kept("/robots.txt")
    later = time.monotonic() + answer_cache.LONGEST
    monkeypatch.setattr(answer_cache, "time", SimpleNamespace(monotonic=lambda: later))
    assert not site.get("/robots.txt").by_door


def test_maintenance_closes_the_door_but_for_what_stays_open(site: DoorSite) -> None:
    open_still = ["/health", "/static/css/site.css"]
    for target in ["/", *open_still]:
        site.get_kept(target)
    settings = site.app.config["CHURCH"]
    maintenance.turn_on(settings)
    sent = site.get("/")
    assert (sent.status, sent.by_door) == (503, False)
    assert all(site.get(target).by_door for target in open_still)
    maintenance.turn_off(settings)
    assert site.get("/").by_door


def test_a_picture_that_changes_drops_the_page_that_shows_it(site: DoorSite, monkeypatch: pytest.MonkeyPatch) -> None:
    current = [True]
    with site.app.app_context():
        pages = current_pages()
    monkeypatch.setattr(pages, "watch_files", lambda *_slug: lambda: current[0])
    site.get_kept("/pages/open")
    site.get_kept("/feed.xml")
    current[0] = False
    assert not site.get("/pages/open").by_door
    assert not site.get("/feed.xml").by_door


# -- the connection ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "connection"), [("1.0", ""), ("1.0", "keep-alive"), ("1.1", "close"), ("1.1", "")])
def test_the_connection_ends_as_it_would_after_the_apps_answer(site: DoorSite, version: str, connection: str) -> None:
    options: dict[str, Any] = {"version": version, **({"Connection": connection} if connection else {})}
    site.get("/")
    kept, fresh = site.get("/", **options), site.get_fresh("/", **options)
    assert kept.by_door
    assert (kept.closed, kept.headers["connection"]) == (fresh.closed, fresh.headers["connection"])


def test_kept_answers_count_towards_the_workers_last_request(site: DoorSite) -> None:
    site.get_kept("/")
    assert site.worker.nr == 3
    site.worker.max_requests = 5
    assert not site.get("/").closed
    last = site.get("/")
    assert (last.by_door, last.closed, last.headers["connection"], site.worker.alive) == (True, True, "close", False)
    assert site.get("/").closed


def test_a_client_that_is_gone_is_counted(site: DoorSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise BrokenPipeError

    site.get_kept("/")
    monkeypatch.setattr(DoorSocket, "send", fails)
    requests, in_flight = definitions.http_requests.labels("GET", "/", "200"), definitions.http_requests_in_flight
    with grows(requests), grows(in_flight, 0), pytest.raises(BrokenPipeError):
        site.get("/")


def test_a_door_that_fails_leaves_the_answer_to_the_app(site: DoorSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    site.get_kept("/")
    monkeypatch.setattr(site.answers, "find", fails)
    with captured_log() as sink:
        sent = site.get("/")
    assert (sent.status, sent.by_door) == (200, False)
    assert [record["event"] for record in sink.records if record["level"] == "ERROR"] == ["answers.failed"]
