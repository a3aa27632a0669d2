"""Real nginx with the shipped configuration, in front of a server that returns the request it got."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile

import pytest

from church.services.billing.stripe.event_types import LARGEST_PAYLOAD
from church.services.videos.importing.receive_upload import MAX_PIECE_BYTES
from church.web.headers import _HSTS
from ops import lint
from tests.support.programs import needing, program
from tests.support.services_fixture import free_port, wait_until

OWN = {
    "Strict-Transport-Security": "max-age=5",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self'",
    "Referrer-Policy": "strict-origin",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "max-age=6",
    "X-Request-ID": "0123",
}
MADE_BY_NGINX = {
    "Strict-Transport-Security": _HSTS,
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Upstream(BaseHTTPRequestHandler):
    """Returns the request as it arrived."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"path": self.path, "headers": headers, "padding": "x" * 2000}).encode()
        self.server.seen.append(self.path)
        if self.path.endswith("?held"):
            self.server.holds.wait(60)
        if self.path == "/broken":
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.path.startswith(("/own", "/static/")):
            for name, value in OWN.items():
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - http.server calls this name

    def log_message(self, *arguments):
        pass


class Backlogged(ThreadingHTTPServer):
    """Takes a hundred connections at once."""

    request_queue_size = 128


class Front:
    def __init__(self, folder, upstream):
        self.http, self.https = free_port(), free_port()
        self.seen, self.holds = upstream.seen, upstream.holds
        (folder / "static" / "css").mkdir(parents=True)
        (folder / "static" / "css" / "site.css").write_text("body { color: black }\n" * 200)
        (folder / "secret.txt").write_text("not for the web")
        port = upstream.server_address[1]
        main = lint.write_nginx_config(folder, f"127.0.0.1:{port}", self.http, self.https, folder / "static")
        self.trust = ssl.create_default_context(cafile=folder / "cert.pem")
        self.log, self.access_log = folder / "nginx.log", folder / "access.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([program("nginx"), "-c", main, "-p", folder], stderr=log)
        wait_until(self._listens, "nginx listens")

    def _listens(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.https)).close()
        except OSError:
            return False
        return True

    def ask(self, path, method="GET", body=None, source="127.0.0.1", **headers):
        """Send one request over TLS. Returns its response, read."""
        raw = socket.create_connection(("127.0.0.1", self.https), timeout=60, source_address=(source, 0))
        connection = http.client.HTTPConnection("church.example")
        connection.sock = self.trust.wrap_socket(raw, server_hostname="church.example")
        try:
            connection.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
            response = connection.getresponse()
            response.text = response.read()
            return response
        finally:
            connection.close()

    def reached(self, path, **headers):
        """Send a request. Returns what reached the site."""
        return json.loads(self.ask(path, **headers).text)


@pytest.fixture(scope="module")
@needing("nginx", "openssl")
def front(tmp_path_factory):
    upstream = Backlogged(("127.0.0.1", 0), Upstream)
    upstream.daemon_threads = True
    upstream.seen = []
    upstream.holds = threading.Event()
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    running = Front(tmp_path_factory.mktemp("nginx"), upstream)
    yield running
    running.process.terminate()
    running.process.wait(timeout=60)
    upstream.shutdown()
    upstream.server_close()


LIES = {
    "X_Forwarded_For": "203.0.113.9",
    "X_Forwarded_Proto": "http",
    "X_Forwarded_Host": "evil.example",
    "X_Real_IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=b",
    "X_Request_ID": "seen-on-an-error-page",
}


@pytest.mark.parametrize("path", ["/", "/ws", "/metrics"])
def test_forwarding_headers_of_a_stranger_do_not_reach_the_site(front, path):
    headers = front.reached(path, source="127.0.0.1", **LIES)["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert not {"x-forwarded-host", "x-real-ip", "forwarded", "traceparent", "tracestate"} & set(headers)
    assert headers["host"] == "church.example"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


def test_http_redirects_to_https_of_the_sites_own_host(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.http, timeout=60)
    connection.request("GET", "/pages/?q=a%20b", headers={"Host": "evil.example"})
    response = connection.getresponse()
    assert (response.status, response.headers["Location"]) == (301, "https://church.example/pages/?q=a%20b")
    connection.close()


def test_path_reaches_the_site_as_it_was_sent(front):
    assert front.reached("/pages/a%2Fb//c?x=%00")["path"] == "/pages/a%2Fb//c?x=%00"


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6detrics", "/x/../metrics"])
def test_metrics_from_another_address_are_denied_in_every_spelling(front, path):
    before = list(front.seen)
    assert front.ask(path, source="127.0.0.2").status == 403
    assert front.seen == before
    assert front.ask("/metrics").status == 200


def test_static_file_is_served_by_nginx_and_cached_for_minutes(front):
    before = list(front.seen)
    response = front.ask("/static/css/site.css", Accept_Encoding="gzip")
    assert response.status == 200
    assert gzip.decompress(response.text).startswith(b"body {")
    assert response.headers.get_all("Cache-Control") == ["public, max-age=300"]
    assert response.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert response.headers.get_all("Strict-Transport-Security") == [_HSTS]
    assert front.seen == before


@pytest.mark.parametrize("version", ["0123456789ab", "x"])
def test_static_file_with_a_fingerprint_is_served_by_the_site(front, version):
    response = front.ask(f"/static/css/site.css?v={version}", **LIES)
    found = json.loads(response.text)
    assert (response.status, found["path"]) == (200, f"/static/css/site.css?v={version}")
    assert found["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert not {"forwarded", "x-forwarded-host", "traceparent"} & set(found["headers"])
    assert {name: response.headers.get_all(name) for name in OWN} == {name: [value] for name, value in OWN.items()}


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (403, {"path": "/metrics", "source": "127.0.0.2"}),
        (404, {"path": "/static/none.css"}),
        (404, {"path": "/static/css/"}),
        (404, {"path": "/static/css"}),
        (405, {"path": "/static/css/site.css", "method": "POST"}),
        (413, {"path": "/", "method": "POST", "body": b"x" * 1_048_577}),
        (502, {"path": "/broken"}),
        (501, {"path": "/", "Transfer_Encoding": "xchunked"}),
        (400, {"path": "/", "Host": "a b"}),
    ],
)
def test_answers_of_nginx_have_the_sites_headers_once(front, status, request_):
    response = front.ask(**request_)
    assert response.status == status
    assert headers_of(response) == MADE_BY_NGINX
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


def headers_of(response):
    """The site's headers in a response. One that is there twice fails."""
    found = {name: response.headers.get_all(name) for name in MADE_BY_NGINX}
    assert {name: len(values or ()) for name, values in found.items()} == dict.fromkeys(MADE_BY_NGINX, 1)
    return {name: values[0] for name, values in found.items()}


@pytest.mark.parametrize(("status", "range_"), [(206, "bytes=0-9"), (416, "bytes=999999-"), (200, "nonsense")])
def test_static_file_has_the_sites_headers_once_whatever_range_is_wanted(front, status, range_):
    response = front.ask("/static/css/site.css", Range=range_)
    assert response.status == status
    assert headers_of(response) == {**MADE_BY_NGINX, "Cache-Control": "public, max-age=300"}


def test_redirect_to_https_has_the_sites_headers(front):
    connection = http.client.HTTPConnection("127.0.0.1", front.http, timeout=60)
    connection.request("GET", "/")
    headers = connection.getresponse().headers
    connection.close()
    assert {name: headers[name] for name in MADE_BY_NGINX} == {**MADE_BY_NGINX, "Strict-Transport-Security": None}


def test_answers_of_the_site_have_their_headers_once(front):
    response = front.ask("/own")
    assert {name: response.headers.get_all(name) for name in OWN} == {name: [value] for name, value in OWN.items()}


@pytest.mark.parametrize(("path", "also"), [("/held", "/ws"), ("/ws", "/own")])
def test_client_with_too_many_connections_is_refused_and_others_are_served(front, path, also):
    front.holds.clear()
    seen = len(front.seen)
    held = [
        threading.Thread(target=front.ask, args=(path + "?held",), kwargs={"source": "127.0.0.5"}) for _ in range(100)
    ]
    for thread in held:
        thread.start()
    try:
        wait_until(lambda: len(front.seen) == seen + 100, "a hundred requests wait for the site")
        assert front.ask(path, source="127.0.0.5").status == 429
        assert front.ask(also, source="127.0.0.5").status == 200
        assert front.ask(path, source="127.0.0.6").status == 200
    finally:
        front.holds.set()
        for thread in held:
            thread.join()
    assert front.ask(path, source="127.0.0.5").status == 200


@pytest.mark.parametrize("path", ["/static../secret.txt", "/static/../secret.txt", "/static/%2e%2e/secret.txt"])
def test_nothing_beside_the_static_folder_can_be_read(front, path):
    assert b"not for the web" not in front.ask(path).text


def test_body_above_the_limit_is_refused_before_the_site_sees_it(front):
    before = list(front.seen)
    assert front.ask("/", method="POST", body=b"x" * 1_048_577).status == 413
    assert front.seen == before
    assert front.ask("/", method="POST", body=b"x" * 1_048_576).status == 200


@pytest.mark.parametrize("purpose", ["verify", "reset", "email", "first-admin"])
def test_emailed_link_reaches_the_site_whole_and_the_log_without_token(front, purpose):
    link, secret = f"/auth/{purpose}/7.", f"{purpose}-opens-an-account"
    assert front.reached(link + secret)["path"] == link + secret
    front.ask("/own", Referer=f"https://church.example{link}{secret}")
    connection = http.client.HTTPConnection("127.0.0.1", front.http, timeout=60)
    connection.request("GET", link + secret)
    assert connection.getresponse().headers["Location"] == f"https://church.example{link}{secret}"
    connection.close()
    wait_until(lambda: front.access_log.read_text().count(f"/auth/{purpose}/[hidden]") == 3, "three lines are logged")
    assert secret not in front.access_log.read_text()


def test_access_log_has_address_and_page_of_an_ordinary_request(front):
    front.ask("/pages/?q=words", Referer="https://church.example/auth/login")
    line = '"GET /pages/?q=words HTTP/1.1" 200'
    wait_until(lambda: line in front.access_log.read_text(), "the request is logged")
    assert '"https://church.example/auth/login"' in front.access_log.read_text()


def test_flood_of_forms_is_refused_while_reading_works(front):
    sent = (front.ask("/auth/login", method="POST", body=b"a=b", source="127.0.0.3").status for _ in range(1000))
    let_in = list(takewhile(lambda status: status != 429, sent))
    assert 50 <= len(let_in) < 1000
    assert set(let_in) == {200}
    assert front.ask("/auth/login", source="127.0.0.3").status == 200
    assert front.ask("/auth/login", method="POST", body=b"a=b", source="127.0.0.4").status == 200
    assert front.ask("/stripe/webhook", method="POST", body=b"a=b", source="127.0.0.3").status == 200


def test_webhook_passes_up_to_the_sites_size_limit(front):
    assert front.ask("/stripe/webhook", method="POST", body=b"x" * LARGEST_PAYLOAD).status == 200
    assert front.ask("/stripe/webhook", method="POST", body=b"x" * (LARGEST_PAYLOAD + 1)).status == 413


def test_upload_piece_passes_up_to_the_sites_size_limit(front):
    assert front.ask("/admin/video-uploads/ab12", method="POST", body=b"x" * MAX_PIECE_BYTES).status == 200
    assert front.ask("/admin/video-uploads/ab12", method="POST", body=b"x" * (MAX_PIECE_BYTES + 1)).status == 413


def test_compressed_answers_are_not_compressed_again(front):
    response = front.ask("/", Accept_Encoding="gzip")
    assert response.headers["Content-Encoding"] is None
    assert json.loads(response.text)["headers"]["accept-encoding"] == "gzip"


def test_upgrade_is_passed_only_for_the_live_connection(front):
    headers = front.reached("/ws", Connection="Upgrade", Upgrade="websocket")["headers"]
    assert (headers["connection"], headers["upgrade"]) == ("upgrade", "websocket")
    headers = front.reached("/", Connection="Upgrade", Upgrade="websocket")["headers"]
    assert "upgrade" not in headers
    assert "connection" not in headers
