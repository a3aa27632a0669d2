"""Static files: URLs that change with the content, and how long browsers may cache them."""

from __future__ import annotations

import gzip
import os
import re
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from flask_compress import Compress

from church.web import assets
from church.web.route_access import EVERYONE, allow


@pytest.fixture(autouse=True)
def _time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are checked once a second at most: let an hour pass between two checks."""
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
    """An app with static files only."""
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


def test_asset_url_has_the_fingerprint_of_its_content(app: Flask) -> None:
    assert re.fullmatch(r"/static/a\.css\?v=[0-9a-f]{12}", address(app, "a.css"))
    assert address(app, "a.css") == address(app, "a.css")


def test_asset_changed_content_has_another_url(app: Flask, static: Path) -> None:
    before = address(app, "a.css")
    (static / "a.css").write_text("a { color: blue }")
    os.utime(static / "a.css", ns=(1, 1))
    assert address(app, "a.css") != before


def test_asset_touched_file_keeps_its_url(app: Flask, static: Path) -> None:
    before = address(app, "a.css")
    os.utime(static / "a.css", ns=(5, 5))
    assert address(app, "a.css") == before


def test_asset_many_spellings_of_a_name_are_cached_once(app: Flask) -> None:
    for spelling in ("a.css", "./a.css", "././a.css"):
        kept(app, f"/static/{spelling}?v=1")
    cached = app.jinja_env.globals["asset"].__self__._cache  # type: ignore[union-attr]
    assert set(cached) == {"a.css"}


def test_asset_missing_file_raises(app: Flask) -> None:
    with pytest.raises(FileNotFoundError):
        address(app, "b.css")


def test_asset_current_url_is_cached_for_a_year(app: Flask) -> None:
    assert kept(app, address(app, "a.css")) == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("query", ["", "?v=000000000000", "?v="])
def test_asset_other_url_is_cached_for_minutes(app: Flask, query: str) -> None:
    assert kept(app, f"/static/a.css{query}") == "public, max-age=300"


def test_asset_missing_file_is_not_cached_for_long(app: Flask) -> None:
    answer = app.test_client().get("/static/b.css?v=1")
    assert answer.status_code == 404
    assert "max-age" not in answer.headers.get("Cache-Control", "")


def test_other_routes_are_unchanged(app: Flask) -> None:
    app.add_url_rule("/own", "own", lambda: "own")
    assert "max-age" not in app.test_client().get("/own?v=1").headers.get("Cache-Control", "")


def test_modified_is_the_start_until_an_asset_changes_whatever_its_date(app: Flask, static: Path) -> None:
    found = app.extensions["assets"]
    start = found.modified
    address(app, "a.css")
    address(app, "a.css")
    assert found.modified == start
    (static / "a.css").write_text("a { color: blue }")
    os.utime(static / "a.css", (1.0, 1.0))
    address(app, "a.css")
    assert found.modified > start


@pytest.fixture
def styles(app: Flask, static: Path) -> bytes:
    """A style sheet large enough to compress, on an app that compresses like the site."""
    app.config["COMPRESS_STREAMS"] = False
    app.after_request_funcs[None].insert(0, Compress(app).after_request)  # the last to be registered runs first
    del app.after_request_funcs[None][-1]
    text = b"a { color: red }\n" * 400
    (static / "large.css").write_bytes(text)
    return text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_style_sheet_is_compressed(app: Flask, styles: bytes, method: str) -> None:
    answer = app.test_client().open("/static/large.css", method=method, headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert int(answer.headers["Content-Length"]) < len(styles) / 4
    assert answer.last_modified is not None
    assert answer.data == b"" if method == "HEAD" else gzip.decompress(answer.data) == styles


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_style_sheet_that_the_browser_has_is_not_sent_again(app: Flask, styles: bytes, encoding: str) -> None:
    client, headers = app.test_client(), {"Accept-Encoding": encoding}
    tag = client.get("/static/large.css", headers=headers).headers["ETag"]
    again = client.get("/static/large.css", headers={**headers, "If-None-Match": tag}, buffered=True)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert again.headers["Cache-Control"] == "public, max-age=300"


def test_part_of_a_style_sheet_is_sent_uncompressed(app: Flask, styles: bytes) -> None:
    headers = {"Accept-Encoding": "gzip", "Range": "bytes=4-8"}
    part = app.test_client().get("/static/large.css", headers=headers, buffered=True)
    assert (part.status_code, part.data) == (206, styles[4:9])
    assert "Content-Encoding" not in part.headers
    beyond = app.test_client().get("/static/large.css", headers={**headers, "Range": "bytes=99999-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize(("name", "size"), [("a.png", 5000), ("huge.css", 262_145)])
def test_picture_and_large_file_are_sent_uncompressed(
    app: Flask, static: Path, styles: bytes, name: str, size: int
) -> None:
    (static / name).write_bytes(b"x" * size)
    answer = app.test_client().get(f"/static/{name}", headers={"Accept-Encoding": "gzip"}, buffered=True)
    assert answer.direct_passthrough or answer.content_length == size
    assert "Content-Encoding" not in answer.headers


def test_path_beside_the_static_folder_is_404(app: Flask, static: Path, styles: bytes) -> None:
    (static.parent / "secret.css").write_text("secret" * 200)
    assert app.test_client().get("/static/../secret.css", headers={"Accept-Encoding": "gzip"}).status_code == 404
