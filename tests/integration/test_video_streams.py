"""Video streams over real gunicorn, through real nginx, and from a bucket of moto's server."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from flask import Flask
from pydantic import SecretStr

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import Rendition, Video
from church.services.videos.storage.local import video_folder
from ops import lint
from tests.support.helpers import with_settings
from tests.support.programs import needing, program
from tests.support.services_fixture import free_port, wait_until
from tests.support.site_fixture import Site
from tests.support.video_fixture import add_ready

FILM = os.urandom(6 * 1024 * 1024)
PATIENCE = "0.6"


def film(site: Site, slug: str, data: bytes = FILM) -> Path:
    """Add a public video to the site and return the file that is streamed."""
    app = create_app(site.settings)
    with app.app_context():
        video = add_ready(slug, data, access_level="public")
        return video_folder(site.settings, video.ref) / "720p.mp4"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def start(name: str, **extra: str) -> Site:
        site = Site(tmp_path_factory.mktemp(name), WEB_CONCURRENCY="1", CHURCH_LIMIT_STREAM="10000/minute", **extra)
        sites.append(site)
        return site.start()

    yield start
    for site in sites:
        site.stop()


@pytest.fixture(scope="module")
def direct(started: Callable[..., Site]) -> Site:
    """A site that sends videos itself, with ``/video/harbour``."""
    site = started("direct")
    film(site, "harbour")
    return site


@pytest.fixture(scope="module")
def impatient(started: Callable[..., Site]) -> Site:
    """A site with a short write timeout, for the test of a player that stops reading."""
    return started("impatient", CHURCH_VIDEO_WRITE_TIMEOUT=PATIENCE)


def address(site: Site, slug: str = "harbour") -> str:
    status, body = site.get(f"/video/access/{slug}", Accept="application/json")
    assert status == 200
    return str(json.loads(body)["url"])


def ask(connection: http.client.HTTPConnection, url: str, method: str = "GET", **headers: str) -> tuple[Any, bytes]:
    connection.request(method, url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    return response, response.read()


def raw(site: Site, url: str) -> socket.socket:
    """Open a connection that has sent its request and read nothing yet."""
    player = socket.create_connection(("127.0.0.1", site.port), timeout=60)
    player.sendall(f"GET {url} HTTP/1.1\r\nHost: church.example\r\n\r\n".encode())
    return player


def rest_of(player: socket.socket) -> int:
    """Count the bytes until the site closes the connection."""
    count = 0
    while data := player.recv(1 << 20):
        count += len(data)
    return count


def ended(site: Site) -> float:
    return site.value("video_stream_duration_seconds_count")


def test_stream_sends_ranges_on_one_connection_by_sendfile(direct: Site) -> None:
    url = address(direct)
    (pid,) = direct.worker_pids()

    def reads() -> int:
        facts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        return int(facts["syscr"])

    with closing(http.client.HTTPConnection("127.0.0.1", direct.port, timeout=60)) as player:
        before, sent, streams = reads(), direct.value("video_bytes_total"), direct.value("video_streams_total")
        whole, data = ask(player, url)
        assert (whole.status, data == FILM) == (200, True)
        head, nothing = ask(player, url, "HEAD", Range="bytes=5-6")
        assert (head.status, nothing, head.headers["Content-Length"]) == (200, b"", str(len(FILM)))
        piece, data = ask(player, url, Range="bytes=1000000-", If_Range=whole.headers["ETag"])
        assert (piece.status, data == FILM[1_000_000:]) == (206, True)
        last, data = ask(player, url, Range="bytes=-3")
        assert (last.status, data) == (206, FILM[-3:])
        assert ask(player, url, Range=f"bytes={len(FILM)}-")[0].status == 416
        assert ask(player, url, If_None_Match=whole.headers["ETag"])[0].status == 304
        assert ask(player, "/health")[0].status == 200
    assert direct.value("video_bytes_total") - sent == 2 * len(FILM) - 1_000_000 + 3
    assert direct.value("video_streams_total") - streams == 1
    assert reads() - before < 2 * len(FILM) / 8192 / 2  # gevent's own sendfile reads 8 KiB at a time


def test_stream_of_truncated_file_ends_and_the_site_goes_on(direct: Site) -> None:
    path = film(direct, "cut", FILM * 4)
    before = ended(direct)
    with closing(raw(direct, address(direct, "cut"))) as player:
        player.recv(1000)
        os.truncate(path, len(FILM))
        assert rest_of(player) < 4 * len(FILM)
    wait_until(lambda: ended(direct) == before + 1, "the connection is counted")
    assert direct.get("/health")[0] == 200


def test_stream_to_closed_or_stalled_player_counts_the_bytes_sent(impatient: Site) -> None:
    film(impatient, "long", FILM * 8)
    url = address(impatient, "long")
    before, sent = ended(impatient), impatient.value("video_bytes_total")
    raw(impatient, url).close()
    with closing(raw(impatient, url)) as stalled:
        wait_until(lambda: ended(impatient) == before + 2, "both connections have ended")
        assert rest_of(stalled) < 8 * len(FILM)
    assert 0 < impatient.value("video_bytes_total") - sent < 2 * 8 * len(FILM)


def test_streams_that_end_early_log_no_errors(direct: Site, impatient: Site) -> None:
    """Runs after the tests above."""
    for site in (direct, impatient):
        assert [r for r in site.records() if r["level"] in {"ERROR", "CRITICAL"} or "exception" in r] == []
        assert "Traceback" not in site.console.read_text()
        assert "cvt1." not in (site.logs / "combined.log").read_text() + site.console.read_text()


class Front:
    """nginx with the deployed configuration, in front of a site."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.port, self.folder = free_port(), folder
        (folder / "videos").symlink_to(site.settings.video_dir)
        main = lint.write_nginx_config(folder, f"127.0.0.1:{site.port}", free_port(), self.port)
        self._trust = ssl.create_default_context(cafile=folder / "cert.pem")
        with (folder / "error.log").open("ab") as log:
            self.process = subprocess.Popen([program("nginx"), "-c", main, "-p", folder], stderr=log)
        wait_until(self._listens, "nginx listens")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[Any, bytes]:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection = http.client.HTTPConnection("church.example")
        connection.sock = self._trust.wrap_socket(plain, server_hostname="church.example")
        with closing(connection):
            return ask(connection, path, method, **headers)


@pytest.fixture(scope="module")
@needing("nginx", "openssl")
def front(started: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Site]]:
    site = started("behind", CHURCH_VIDEO_OFFLOAD="x-accel")
    running = Front(tmp_path_factory.mktemp("front"), site)
    yield running, site
    running.process.terminate()
    running.process.wait(60)


def test_nginx_sends_streams_that_the_site_allows(front: tuple[Front, Site]) -> None:
    nginx, site = front
    path = film(site, "harbour")
    url = address(site)
    whole, data = nginx.ask(url)
    assert (whole.status, data == FILM) == (200, True)
    piece, data = nginx.ask(url, Range="bytes=1000-1999", If_Range=whole.headers["ETag"])
    assert (piece.status, data) == (206, FILM[1000:2000])
    assert piece.headers["Content-Range"] == f"bytes 1000-1999/{len(FILM)}"
    assert nginx.ask(url, "HEAD")[0].headers["Content-Length"] == str(len(FILM))
    assert nginx.ask(url, Range=f"bytes={len(FILM)}-")[0].status == 416
    for response in (whole, piece):
        for name, value in {
            "Content-Type": "video/mp4",
            "Cache-Control": "private, no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }.items():
            assert response.headers.get_all(name) == [value]
        assert len(response.headers.get_all("X-Request-ID")) == 1
        assert "X-Accel-Redirect" not in response.headers
    inside = f"/_videos/{path.parent.name}/{path.name}"
    assert nginx.ask(inside)[0].status == 404
    assert nginx.ask("/video/stream/harbour?token=cvt1.x")[0].status == 403
    assert (site.value("video_bytes_total"), ended(site)) == (
        0,
        0,
    )  # nginx sends the bytes, uncounted by the site
    assert site.value("video_streams_total", outcome="started") == 1


def test_token_is_in_no_log_of_nginx(front: tuple[Front, Site]) -> None:
    nginx, site = front
    film(site, "gone").unlink()
    url = address(site, "gone")
    token = url.partition("token=")[2]
    assert nginx.ask(url)[0].status == 404
    assert nginx.ask(f"//video/stream/gone?x=1&tok%65n={token}")[0].status == 404
    nginx.ask("/", Referer=f"https://church.example{url}")
    logged = nginx.folder / "access.log"
    wait_until(lambda: '"GET / HTTP/1.1"' in logged.read_text(), "the requests are logged")
    assert '"GET /video/stream/gone?[hidden] HTTP/1.1" 404' in logged.read_text()
    assert '"https://church.example/video/stream/gone?[hidden]"' in logged.read_text()
    assert "cvt1" not in logged.read_text() + (nginx.folder / "error.log").read_text()


@pytest.fixture
def bucket(app: Flask) -> Iterator[Settings]:
    """Start moto's server; the settings of a site with its videos in a bucket there."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(endpoint), "moto's server answers")
        names = {"video_s3_bucket": "films", "video_s3_key": "AKIAEXAMPLE", "video_s3_secret": SecretStr("secret")}
        yield with_settings(app.config["CHURCH"], video_offload="s3", video_s3_endpoint=endpoint, **names)
    finally:
        server.terminate()
        server.wait(60)


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=2).close()
    except HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def test_bucket_sends_streams_that_the_site_allows(app: Flask, bucket: Settings) -> None:
    app.config["CHURCH"] = bucket
    with app.app_context():
        video: Video = add_ready("open", FILM, access_level="public")
        with db.write() as session:
            session.query(Rendition).update({"in_bucket": True})
    client = boto3.client(
        "s3", endpoint_url=bucket.video_s3_endpoint, region_name=bucket.video_s3_region,
        aws_access_key_id=bucket.video_s3_key, aws_secret_access_key="secret",
    )  # fmt: skip
    client.create_bucket(Bucket="films")
    client.put_object(Bucket="films", Key=f"{video.ref}/720p.mp4", Body=FILM, ContentType="video/mp4")
    browser = app.test_client()
    granted = browser.get("/video/access/open").json
    assert granted is not None
    response = browser.get(granted["url"])
    assert response.status_code == 302
    wanted = urllib.request.Request(response.headers["Location"], headers={"Range": "bytes=1000-1999"})
    with urllib.request.urlopen(wanted, timeout=60) as piece:
        assert (piece.status, piece.read()) == (206, FILM[1000:2000])
        assert piece.headers["Content-Type"] == "video/mp4"
