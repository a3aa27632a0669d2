"""Static files: an address that changes with the content, and how long a browser may keep each."""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask

from church import assets
from church.access import EVERYONE, allow


@pytest.fixture(autouse=True)
def _time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked at once a second: each look is an hour after the one before."""
    hours = count()
    monkeypatch.setattr(
        assets, "time", SimpleNamespace(monotonic=lambda: 3600.0 * next(hours), time=lambda: 1000.0 + next(hours))
    )


@pytest.fixture
def static(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "a.css").write_text("a { color: red }")
    return folder


@pytest.fixture
def app(static: Path) -> Flask:
    """An app of nothing but static files."""
    app = Flask("church", static_folder=str(static))
    assets.init_app(app)
    app.view_functions["static"] = allow(EVERYONE)(app.view_functions["static"])
    return app


def address(app: Flask, name: str) -> str:
    with app.test_request_context():
        return str(app.jinja_env.globals["asset"](name))  # type: ignore[operator]


def kept(app: Flask, path: str) -> str | None:
    answer = app.test_client().get(path, buffered=True)
    assert answer.status_code == 200
    return answer.headers.get("Cache-Control")


def test_asset_has_an_address_with_its_fingerprint(app: Flask) -> None:
    assert re.fullmatch(r"/static/a\.css\?v=[0-9a-f]{12}", address(app, "a.css"))
    assert address(app, "a.css") == address(app, "a.css")


def test_asset_that_changes_has_another_address(app: Flask, static: Path) -> None:
    before = address(app, "a.css")
    (static / "a.css").write_text("a { color: blue }")
    os.utime(static / "a.css", ns=(1, 1))
    assert address(app, "a.css") != before


def test_asset_that_is_touched_keeps_its_address(app: Flask, static: Path) -> None:
    before = address(app, "a.css")
    os.utime(static / "a.css", ns=(5, 5))
    assert address(app, "a.css") == before


def test_asset_by_many_spellings_is_remembered_once(app: Flask) -> None:
    for spelling in ("a.css", "./a.css", "././a.css"):
        kept(app, f"/static/{spelling}?v=1")
    remembered = app.jinja_env.globals["asset"].__self__._known  # type: ignore[union-attr]
    assert set(remembered) == {"a.css"}


def test_asset_that_is_not_there_is_an_error(app: Flask) -> None:
    with pytest.raises(FileNotFoundError):
        address(app, "b.css")


def test_asset_by_its_address_may_be_kept_for_a_year(app: Flask) -> None:
    assert kept(app, address(app, "a.css")) == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("query", ["", "?v=000000000000", "?v="])
def test_asset_by_another_address_may_be_kept_for_minutes(app: Flask, query: str) -> None:
    assert kept(app, f"/static/a.css{query}") == "public, max-age=300"


def test_asset_that_is_missing_may_not_be_kept_for_long(app: Flask) -> None:
    answer = app.test_client().get("/static/b.css?v=1")
    assert answer.status_code == 404
    assert "max-age" not in answer.headers.get("Cache-Control", "")


def test_other_routes_are_left_alone(app: Flask) -> None:
    app.add_url_rule("/own", "own", lambda: "own")
    assert "max-age" not in app.test_client().get("/own?v=1").headers.get("Cache-Control", "")


def test_modified_is_the_start_until_an_asset_changes_whatever_date_it_has(app: Flask, static: Path) -> None:
    found = app.extensions["assets"]
    start = found.modified
    address(app, "a.css")
    address(app, "a.css")
    assert found.modified == start
    (static / "a.css").write_text("a { color: blue }")
    os.utime(static / "a.css", (1.0, 1.0))
    address(app, "a.css")
    assert found.modified > start
