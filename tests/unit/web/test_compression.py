"""The coding of an answer: what the client accepts, and nothing that it refuses (RFC 9110, 12.5.3)."""

from __future__ import annotations

import gzip
from pathlib import Path

import brotli
import pytest
from flask import Flask, Response
from werkzeug.exceptions import default_exceptions

from church.errors import ForbiddenError, UnauthorizedError, UnavailableError
from church.web.compression import choose_coding
from tests.support.helpers import add_view

TEXT = "A long line of words. " * 100


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate, br", "br"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate, zstd", "identity"),
        ("*", "br"),
        # A weight of 0 refuses.
        ("gzip;q=0", "identity"),
        ("br;q=0", "identity"),
        ("gzip;q=0, br;q=0", "identity"),
        ("gzip; q=0.000", "identity"),
        ("gzip ; Q=0", "identity"),
        ("*;q=0", "identity"),
        ("gzip;q=0, *", "br"),
        ("br;q=0, *", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*;q=0, gzip", "gzip"),
        ("br;q=0, *;q=0.5", "gzip"),
        ("gzip, gzip;q=0", "identity"),
        # The heaviest wins, in any order.
        ("br;q=0.5, gzip", "gzip"),
        ("gzip;q=0.8, br;q=0.9", "br"),
        ("gzip;q=0.001", "gzip"),
        ("*;q=0.2, gzip;q=0.1", "br"),
        ("identity, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip", "gzip"),
        ("identity, br", "br"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0", "identity"),
        ("identity;q=0, *;q=0", "identity"),
        # What cannot be read is ignored.
        ("gzip;q=no", "identity"),
        ("gzip;q=2, br", "br"),
        ("gzip;q=-1", "identity"),
        ("gzip;q=", "identity"),
        ("gzip;level=1", "identity"),
        (",, gzip ,", "gzip"),
    ],
)
def test_coding_is_the_best_that_the_client_accepts(accepted: str, coding: str) -> None:
    assert choose_coding(accepted) == coding


@pytest.mark.parametrize("path", ["/long", "/static/css/site.css"])
@pytest.mark.parametrize("accepted", ["gzip;q=0", "br;q=0, gzip;q=0", "*;q=0", "identity", None])
def test_refused_coding_is_not_sent(app: Flask, path: str, accepted: str | None) -> None:
    add_view(app, "/long", lambda: TEXT)
    answer = app.test_client().get(path, headers={"Accept-Encoding": accepted} if accepted else {})
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers
    assert "Accept-Encoding" in answer.headers["Vary"]


def test_accepted_coding_is_sent(app: Flask) -> None:
    add_view(app, "/long", lambda: TEXT)
    answer = app.test_client().get("/long", headers={"Accept-Encoding": "br;q=0, gzip;q=0.1"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.data).decode() == TEXT


@pytest.mark.parametrize("error", [400, 404, 413, 415, 429, UnauthorizedError(), ForbiddenError(), UnavailableError()])
@pytest.mark.parametrize("coding", ["br", "gzip"])
def test_error_page_is_compressed(app: Flask, error: int | Exception, coding: str) -> None:
    def fail() -> Response:
        raise error if isinstance(error, Exception) else default_exceptions[error]

    add_view(app, "/fails", fail)
    whole = app.test_client().get("/fails")
    answer = app.test_client().get("/fails", headers={"Accept-Encoding": coding})
    assert answer.headers["Content-Encoding"] == coding
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert answer.status_code == whole.status_code >= 400
    assert len(answer.data) == int(answer.headers["Content-Length"]) < len(whole.data) / 2
    shown = (brotli if coding == "br" else gzip).decompress(answer.data)
    assert shown.replace(answer.headers["X-Request-ID"].encode(), b"") == whole.data.replace(
        whole.headers["X-Request-ID"].encode(), b""
    )


def test_answer_for_everyone_is_smaller_than_one_for_a_visitor(app: Flask) -> None:
    page = (Path(app.static_folder or "") / "css/site.css").read_text()
    add_view(app, "/all", lambda: Response(page, headers={"Cache-Control": "public, max-age=60"}, mimetype="text/css"))
    add_view(app, "/one", lambda: Response(page, mimetype="text/css"))
    for coding in ("br", "gzip"):
        sizes = [
            len(app.test_client().get(path, headers={"Accept-Encoding": coding}).data) for path in ("/all", "/one")
        ]
        assert sizes[0] < sizes[1] < len(page) / 2


def test_stream_and_redirect_and_short_text_are_sent_as_they_are(app: Flask) -> None:
    add_view(app, "/stream", lambda: Response(iter([TEXT, TEXT]), mimetype="text/plain"))
    add_view(app, "/short", lambda: "a" * 499)
    add_view(app, "/moved", lambda: Response(TEXT, 301, headers={"Location": "/"}))
    for path in ("/stream", "/short", "/moved"):
        answer = app.test_client().get(path, headers={"Accept-Encoding": "br"})
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Vary"] == "Accept-Encoding"


def test_coding_has_an_etag_of_its_own_that_is_revalidated(app: Flask) -> None:
    def page() -> Response:
        response = Response(TEXT)
        response.set_etag("abc")
        return response

    add_view(app, "/page", page)
    client = app.test_client()
    assert client.get("/page", headers={"Accept-Encoding": "br"}).headers["ETag"] == '"abc:br"'
    again = client.get("/page", headers={"Accept-Encoding": "br", "If-None-Match": '"abc:br"'})
    assert (again.status_code, again.data) == (304, b"")
    assert client.get("/page", headers={"Accept-Encoding": "gzip", "If-None-Match": '"abc:br"'}).status_code == 200


@pytest.mark.parametrize("accepted", ["gzip;q=0", "br;q=0"])
def test_error_page_has_no_refused_coding(app: Flask, accepted: str) -> None:
    answer = app.test_client().get("/missing", headers={"Accept-Encoding": accepted})
    assert answer.status_code == 404
    assert "Content-Encoding" not in answer.headers
