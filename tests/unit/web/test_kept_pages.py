"""Pages that are rendered once for many visitors: nobody gets what was rendered for somebody else."""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import brotli
import pytest
from flask import Flask, flash, g, request
from flask.testing import FlaskClient
from jinja2 import DictLoader, UndefinedError

from church import factory
from church.extensions import db
from church.services.sessions import SignedIn
from church.web import csrf, kept_pages
from church.web.kept_pages import KeptPage, KeptPages
from tests.support.helpers import add_view
from tests.support.pages_fixture import HIDDEN, make_site, small_library, write_page
from tests.support.services_fixture import wait_until

WHO = {
    "stranger": None,
    "unconfirmed": SignedIn(1, "ref-of-1-9f2c", "Una", "una@church.example", "member", False, 1, "s1"),
    "member": SignedIn(2, "ref-of-2-9f2c", "Mem & Co", "mem@church.example", "member", True, 2, "s2"),
    "subscriber": SignedIn(3, "ref-of-3-9f2c", "Süb", "sub@church.example", "member", True, 3, "s3", premium=True),
    "admin": SignedIn(4, "ref-of-4-9f2c", "", "adm@church.example", "admin", True, 4, "s4"),
}
MAY_READ = {"/pages/club": {"member", "subscriber", "admin"}, "/pages/gold": {"subscriber", "admin"}}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = make_site(tmp_path)
    small_library(tmp_path / "content")

    def know() -> None:
        g.viewer, g.unknown_viewer = WHO[request.headers.get("X-Who", "stranger")], None

    app.before_request_funcs.setdefault(None, []).append(know)
    yield app
    with app.app_context():
        db.dispose()


@pytest.fixture
def clients(app: Flask) -> dict[str, FlaskClient]:
    """A browser for each of ``WHO``."""
    made = {who: app.test_client() for who in WHO}
    for who, client in made.items():
        client.environ_base["HTTP_X_WHO"] = who
    return made


def count_kept(app: Flask) -> int:
    kept: KeptPages = app.extensions["kept_pages"]
    return len(kept)


# -- who gets what ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", WHO)
@pytest.mark.parametrize("path", MAY_READ)
def test_hidden_text_is_only_for_those_who_may_read_it(clients: dict[str, FlaskClient], first: str, path: str) -> None:
    clients[first].get(path)
    for _ in range(2):
        for who, client in clients.items():
            assert (HIDDEN in client.get(path).text) == (who in MAY_READ[path]), who


def test_page_has_the_visitors_own_name_and_no_other(clients: dict[str, FlaskClient]) -> None:
    names = {"unconfirmed": "Una", "member": "Mem &amp; Co", "subscriber": "Süb", "admin": "Account"}
    for path in ("/", "/pages/", "/pages/?tag=all", "/pages/open", "/pages/club") * 2:
        for who, client in clients.items():
            text = client.get(path).text
            assert re.findall(r"</svg><span>([^<]+)</span></a>", text) == ([names[who]] if who in names else [])
            assert ('<a href="/admin/"' in text) == (who == "admin")
            assert not [one for one in WHO.values() if one is not None and (one.email in text or one.ref in text)]
            assert kept_pages._SECRET not in text


def test_form_has_the_token_of_the_visitors_own_session(app: Flask, clients: dict[str, FlaskClient]) -> None:
    tokens = {}
    for who in ("member", "subscriber"):
        clients[who].get("/pages/open")  # makes the session
        (tokens[who],) = re.findall(r'name="csrf_token" value="([^"]+)"', clients[who].get("/pages/open").text)
        with clients[who].session_transaction() as session:
            assert tokens[who] == csrf._sign(session["csrf_token"], app.config["SECRET_KEY"])
    assert tokens["member"] != tokens["subscriber"]


def test_page_to_come_that_an_admin_saw_is_missing_for_all_others(
    clients: dict[str, FlaskClient], tmp_path: Path
) -> None:
    write_page(tmp_path / "content", "soon", HIDDEN, date="2099-01-02", title="Coming soon")
    wait_until(lambda: HIDDEN in clients["admin"].get("/pages/soon").text, "the admin sees the page")
    for who in set(WHO) - {"admin"}:
        answer = clients[who].get("/pages/soon")
        assert answer.status_code == 404
        assert HIDDEN not in answer.text
        assert "Coming soon" not in clients[who].get("/pages/").text


def test_page_that_is_closed_is_not_shown_from_memory(clients: dict[str, FlaskClient], tmp_path: Path) -> None:
    write_page(tmp_path / "content", "open", HIDDEN)
    wait_until(lambda: HIDDEN in clients["member"].get("/pages/open").text, "the new text shows")
    write_page(tmp_path / "content", "open", f"Little.\n\n{HIDDEN}", access="premium")
    wait_until(lambda: HIDDEN not in clients["member"].get("/pages/open").text, "the page is closed to members")
    assert HIDDEN in clients["subscriber"].get("/pages/open").text


# -- when it is rendered anew -----------------------------------------------------------------------------------------


def test_page_is_rendered_once_for_all_members(
    app: Flask, clients: dict[str, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    render = Mock(wraps=kept_pages._render_marked)
    monkeypatch.setattr(kept_pages, "_render_marked", render)
    another = app.test_client()
    for client in (clients["member"], another, clients["member"]):
        assert "More <em>walnut</em>" in client.get("/pages/open", headers={"X-Who": "member"}).text
    assert render.call_count == 1


def test_page_follows_text_settings_and_static_files(
    app: Flask, clients: dict[str, FlaskClient], tmp_path: Path
) -> None:
    before = clients["member"].get("/pages/open").text
    app.jinja_env.globals["site_name"] = "Another name"
    named = clients["member"].get("/pages/open").text
    assert "Another name" not in before
    assert "Another name" in named
    app.extensions["assets"]._changes += 1
    kept = count_kept(app)
    clients["member"].get("/pages/open")
    assert count_kept(app) == kept + 1
    write_page(tmp_path / "content", "terms", "Terms.")
    wait_until(lambda: 'href="/pages/terms"' in clients["member"].get("/pages/open").text, "the footer links the terms")


def test_message_is_shown_once_and_to_its_visitor_alone(app: Flask, clients: dict[str, FlaskClient]) -> None:
    add_view(app, "/say", lambda: flash("Name changed.", "success") or "said")
    clients["member"].get("/say")
    assert "Name changed." not in clients["subscriber"].get("/pages/open").text
    assert "Name changed." in clients["member"].get("/pages/open").text
    assert "Name changed." not in clients["member"].get("/pages/open").text


# -- how it is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accepted", ["gzip", "br", "gzip, br", "br;q=0.9, gzip;q=0.1", "br, gzip;q=0", "*;q=0.1"])
def test_codings_of_a_page_are_the_same_text(clients: dict[str, FlaskClient], accepted: str) -> None:
    for path in ("/", "/pages/", "/pages/open", "/pages/club"):
        for client in clients.values():
            client.get(path)  # makes the session
            plain, answer = client.get(path), client.get(path, headers={"Accept-Encoding": accepted})
            coding = answer.headers["Content-Encoding"]
            assert (brotli if coding == "br" else gzip).decompress(answer.data) == plain.data
            assert int(answer.headers["Content-Length"]) == len(answer.data) < len(plain.data) / 2
            assert answer.headers["Vary"] == plain.headers["Vary"]


def test_page_for_one_is_joined_as_gzip_unless_the_client_likes_brotli_better(clients: dict[str, FlaskClient]) -> None:
    def coding(who: str, accepted: str) -> str:
        return clients[who].get("/pages/open", headers={"Accept-Encoding": accepted}).headers["Content-Encoding"]

    assert [coding("member", accepted) for accepted in ("gzip, br", "br, gzip;q=0.5", "br")] == ["gzip", "br", "br"]
    assert coding("stranger", "gzip, br") == "br"


def test_page_for_one_is_private(clients: dict[str, FlaskClient]) -> None:
    for path in ("/", "/pages/", "/pages/open", "/pages/club"):
        for who, client in clients.items():
            is_public = who == "stranger" and path != "/pages/club"
            expected = "public, max-age=60" if is_public else "private, no-store"
            assert client.get(path).headers["Cache-Control"] == expected


@pytest.mark.parametrize("name", ["", "A", "Zoë 💜", "x" * 60_000, "&" * 10])
def test_pieces_become_one_gzip_body(name: str) -> None:
    page = KeptPage(f"before {kept_pages._NAME} between {kept_pages._TOKEN}{kept_pages._NAME} after")
    values = {"name": name.encode(), "token": b"t.0-k_en"}
    whole = page.fill(values)
    assert whole.decode() == f"before {name} between t.0-k_en{name} after"
    assert gzip.decompress(page.fill_gzip(values, whole)) == whole


def test_text_without_holes_is_one_piece() -> None:
    page = KeptPage("words")
    assert (page.fill({}), gzip.decompress(page.fill_gzip({}, b"words"))) == (b"words", b"words")


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_least_recently_used_pages_are_dropped_beyond_the_room() -> None:
    pages, rendered = KeptPages(room=3 * (200 + sys.getsizeof("'a'"))), []

    def ask(key: str) -> None:
        pages.find(key, lambda: rendered.append(key) or key * 100)

    for key in "abcabc":
        ask(key)
    assert rendered == ["a", "b", "c"]
    for key in "adb":  # d takes the place of b
        ask(key)
    assert rendered == ["a", "b", "c", "d", "b"]
    assert len(pages) == 3


def test_what_pages_are_kept_by_counts_as_well() -> None:
    pages = KeptPages(room=100_000)
    for number in range(100):
        pages.find(("part", f"/auth/reset/\N{PERSON IN LOTUS POSITION}{number}" + "x" * 4000), lambda: "short")
    assert len(pages) == 100_000 // (4 * 4000) == 6


def test_very_large_page_is_not_kept() -> None:
    pages = KeptPages()
    assert pages.find("large", lambda: "x" * 300_000).fill({}) == b"x" * 300_000
    assert len(pages) == 0


@pytest.mark.parametrize("expression", ["viewer.email", "viewer.ref", "viewer.user_id", "session.x", "request.args"])
def test_template_of_a_kept_page_cannot_name_what_is_personal(app: Flask, expression: str) -> None:
    app.jinja_env.loader = DictLoader({"leaky.html": "{{ " + expression + " }}"})
    add_view(app, "/leaky", lambda: kept_pages.answer_page("leaky.html"))
    with pytest.raises(UndefinedError):
        app.test_client().get("/leaky", headers={"X-Who": "member"})


def test_token_of_any_form_on_a_kept_page_is_the_visitors_own(app: Flask, clients: dict[str, FlaskClient]) -> None:
    source = "{% macro field() %}{{ csrf_token() }}{% endmacro %}"
    app.jinja_env.loader = DictLoader(
        {"macros.html": source, "form.html": "{% from 'macros.html' import field %}{{ field() }}"}
    )
    add_view(app, "/form", lambda: kept_pages.answer_page("form.html"))
    add_view(app, "/own", csrf.make_token)
    shown = {who: clients[who].get("/form").text for who in WHO}
    assert shown == {who: clients[who].get("/own").text for who in WHO}
    assert len(set(shown.values())) == len(WHO)


def test_part_shows_each_visitors_own_values_escaped(app: Flask, clients: dict[str, FlaskClient]) -> None:
    def show(name: str) -> str:
        return kept_pages.render_part("part.html", {"name": name, "email": f"{name}@x"})

    part = "{{ name }}, {{ email }}{% if name == 'Ada' %} asked{% endif %}: {{ csrf_token() }}"
    app.jinja_env.loader = DictLoader({"part.html": part})
    add_view(app, "/page", lambda: show(request.args["name"]))
    add_view(app, "/own", csrf.make_token)
    for who, name, shown in (("member", "Ada", "Ada"), ("subscriber", "<b>&", "&lt;b&gt;&amp;"), ("admin", "", "")):
        text = clients[who].get("/page", query_string={"name": name}).text
        assert text == f"{shown}, {shown}@x: {clients[who].get('/own').text}"


def test_footer_has_the_year_of_today_however_long_the_site_runs(
    clients: dict[str, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    for today in (datetime(2031, 12, 31, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)):
        monkeypatch.setattr(factory, "datetime", Mock(now=lambda _zone, today=today: today))
        for _ in range(2):
            assert {f"© {today.year}" in client.get("/pages/club").text for client in clients.values()} == {True}
