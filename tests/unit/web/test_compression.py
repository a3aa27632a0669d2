"""The coding of an answer: what the client accepts, and nothing that it refuses (RFC 9110, 12.5.3)."""

from __future__ import annotations

import gzip

import pytest
from flask import Flask

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


@pytest.mark.parametrize("accepted", ["gzip;q=0", "br;q=0"])
def test_error_page_has_no_refused_coding(app: Flask, accepted: str) -> None:
    answer = app.test_client().get("/missing", headers={"Accept-Encoding": accepted})
    assert answer.status_code == 404
    assert "Content-Encoding" not in answer.headers
