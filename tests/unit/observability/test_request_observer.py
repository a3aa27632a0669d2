"""Every request is counted and logged once, correctly, however it ends."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request, send_file
from flask.testing import FlaskClient

from church import create_app, telemetry
from church.config import Settings
from church.observability import raise_in_tests, request_observer
from church.observability.metrics import definitions
from church.observability.request_observer import Door
from tests.support.helpers import BY_PROXY, add_view, captured_log, grows, value, with_settings
from tests.support.kept_traces import KeptTraces


@pytest.fixture
def app(app: Flask) -> Flask:
    app.config.update(PROPAGATE_EXCEPTIONS=False)
    return app


@contextmanager
def lenient() -> Iterator[None]:
    """Telemetry as outside the tests: failures are dropped and counted."""
    raise_in_tests.on = False
    try:
        yield
    finally:
        raise_in_tests.on = True


@contextmanager
def counted(method: str, route: str, status: int, sent: int | None = None) -> Iterator[None]:
    """The block is one request of this kind: in the counters, the histogram, the gauge and the log."""
    timed_as = method if route != "_unmatched" else "_OTHER"
    duration = definitions.http_request_duration.labels(timed_as, route, f"{status // 100}xx")
    all_before = {labels: value(child) for labels, child in definitions.http_requests._metrics.items()}
    observed = sum(bucket.get() for bucket in duration._buckets)
    in_flight = value(definitions.http_requests_in_flight)
    octets = definitions.http_response_bytes.labels(route)
    before = value(octets)
    with captured_log() as sink:
        yield
    grown = {
        labels: value(child) - all_before.get(labels, 0)
        for labels, child in definitions.http_requests._metrics.items()
        if value(child) != all_before.get(labels, 0)
    }
    assert grown == {(method, route, str(status)): 1}
    assert sum(bucket.get() for bucket in duration._buckets) == observed + 1
    assert value(definitions.http_requests_in_flight) == in_flight
    if sent is not None:
        assert value(octets) - before == sent
    (record,) = (record for record in sink.records if record["event"] == "http.request")
    assert (record["method"], record["route"], record["status"]) == (method, route, status)


def ask(client: FlaskClient, path: str, method: str = "GET", **options: Any) -> Any:
    """The whole exchange: the body is read and closed, as a server does."""
    return client.open(path, method=method, buffered=True, **options)


def test_plain_answer_is_counted_by_its_route(app: Flask) -> None:
    add_view(app, "/x/<name>", lambda name: "é" * 10)
    with counted("GET", "/x/<name>", 200, sent=20):
        assert ask(app.test_client(), "/x/anything").status_code == 200


def test_streamed_answer_is_counted_when_it_has_been_sent(app: Flask) -> None:
    def stream() -> Iterator[str]:
        for number in range(3):
            assert value(definitions.http_requests_in_flight) == before + 1
            yield f"part {number}\n"

    add_view(app, "/stream", lambda: Response(stream()))
    before = value(definitions.http_requests_in_flight)
    with counted("GET", "/stream", 200, sent=21):
        assert ask(app.test_client(), "/stream").data == b"part 0\npart 1\npart 2\n"


class Body:
    """A body with a close of its own."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    def close(self) -> None:
        self.closed += 1


def test_stream_whose_client_disconnects_is_counted_and_closed(app: Flask) -> None:
    body = Body()
    add_view(app, "/stream", lambda: Response(body))
    with counted("GET", "/stream", 200, sent=3):
        answer = app.test_client().get("/stream")
        assert next(answer.iter_encoded()) == b"one"
        answer.close()
    assert body.closed == 1


def test_stream_that_breaks_is_counted_with_what_was_sent(app: Flask) -> None:
    def stream() -> Iterator[bytes]:
        yield b"four"
        raise ConnectionResetError

    add_view(app, "/stream", lambda: Response(stream()))
    with counted("GET", "/stream", 200, sent=4):
        answer = app.test_client().get("/stream")
        chunks = answer.iter_encoded()
        assert next(chunks) == b"four"
        with pytest.raises(ConnectionResetError):
            next(chunks)
        answer.close()


@pytest.mark.parametrize("path", ["/static/css/site.css", "/file"])
def test_file_is_counted_when_it_has_been_sent(app: Flask, path: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"x" * 100_000)
    add_view(app, "/file", lambda: send_file(tmp_path / "file.bin"))
    static = Path(app.static_folder or "", "css/site.css").stat().st_size
    route, size = ("/file", 100_000) if path == "/file" else ("/static/<path:filename>", static)
    with counted("GET", route, 200, sent=size):
        assert len(ask(app.test_client(), path, headers={"Accept-Encoding": "identity"}).data) == size


def test_file_is_passed_to_the_server_unchanged(app: Flask, tmp_path: Path) -> None:
    """Only a file wrapper of the server's own can be sent by sendfile."""

    class Wrapper:
        def __init__(self, file: Any, size: int = 8192) -> None:
            self.file = file
            self.close = file.close

        def __iter__(self) -> Iterator[bytes]:
            return iter([self.file.read()])

    (tmp_path / "file.bin").write_bytes(b"x" * 50)
    add_view(app, "/file", lambda: send_file(tmp_path / "file.bin"))
    with counted("GET", "/file", 200, sent=50):
        environ = app.test_request_context("/file").request.environ | {"wsgi.file_wrapper": Wrapper}
        answer: Any = app.wsgi_app(environ, lambda *_: lambda _data: None)
        assert isinstance(answer, Wrapper)
        answer.close()
    assert answer.file.closed


def test_part_of_a_file_is_counted_by_its_bytes(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"x" * 1000)
    add_view(app, "/file", lambda: send_file(tmp_path / "file.bin", conditional=True))
    with counted("GET", "/file", 206, sent=10):
        assert ask(app.test_client(), "/file", headers={"Range": "bytes=5-14"}).data == b"x" * 10


@pytest.mark.parametrize("path", ["/plain", "/stream", "/static/css/site.css"])
def test_head_is_counted_without_bytes(app: Flask, path: str) -> None:
    add_view(app, "/plain", lambda: "words")
    add_view(app, "/stream", lambda: Response(iter([b"words"])))
    route = "/static/<path:filename>" if path.startswith("/static") else path
    with counted("HEAD", route, 200, sent=0):
        assert ask(app.test_client(), path, "HEAD").data == b""


@pytest.mark.parametrize("path", ["/", "/static/css/site.css"])
def test_not_modified_is_counted_without_bytes(app: Flask, path: str) -> None:
    client = app.test_client()
    tag = ask(client, path).headers["ETag"]
    route = "/static/<path:filename>" if path.startswith("/static") else path
    with counted("GET", route, 304, sent=0):
        assert ask(client, path, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("path", ["/nowhere", "/no/where/at/all", "/%ff%fe", "/" + "x" * 3000, "/static"])
def test_path_of_no_route_is_unmatched(client: FlaskClient, path: str) -> None:
    with counted("GET", "_unmatched", 404):
        ask(client, path)


def test_page_that_does_not_exist_is_counted_by_its_route(client: FlaskClient) -> None:
    with counted("GET", "/pages/<path:slug>", 404):
        ask(client, "/pages/no-such-page")


def test_method_not_allowed_is_unmatched(client: FlaskClient) -> None:
    with counted("DELETE", "_unmatched", 405):
        ask(client, "/health", "DELETE")


@pytest.mark.parametrize("method", ["BREW", "PROPFIND", "TRACE", "CONNECT", "X" * 100])
def test_method_that_is_unknown_is_counted_as_other(client: FlaskClient, method: str) -> None:
    environ = {"REQUEST_METHOD": method}
    with counted("_OTHER", "_unmatched", 405):
        client.open("/health", environ_overrides=environ, buffered=True)


@pytest.mark.parametrize("method", sorted(definitions.METHODS))
def test_method_that_is_known_is_counted_by_name(app: Flask, method: str) -> None:
    add_view(app, "/any", lambda: "any", methods=sorted(definitions.METHODS), provide_automatic_options=False)
    with counted(method, "/any", 200):
        ask(app.test_client(), "/any", method)


def test_redirect_by_the_router_is_counted(client: FlaskClient) -> None:
    with counted("GET", "_unmatched", 308):
        ask(client, "//health")


def test_view_that_raises_is_a_500_of_its_route(app: Flask) -> None:
    def view() -> str:
        raise LookupError

    add_view(app, "/fails", view)
    with counted("GET", "/fails", 500):
        assert ask(app.test_client(), "/fails").status_code == 500


def test_exception_that_leaves_the_app_is_counted_and_raised(app: Flask) -> None:
    def view() -> str:
        raise LookupError

    add_view(app, "/fails", view)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with counted("GET", "_unmatched", 500), pytest.raises(LookupError):
        ask(app.test_client(), "/fails")


def test_other_hook_that_raises_is_a_500_that_is_counted_once(app: Flask) -> None:
    def broken(_response: Response) -> Response:
        raise LookupError

    add_view(app, "/fine", lambda: "fine")
    app.after_request(broken)
    with counted("GET", "_unmatched", 500):
        assert ask(app.test_client(), "/fine").status_code == 500


def test_refused_request_is_counted_by_its_route(app: Flask) -> None:
    app.add_url_rule("/forgotten", "forgotten", lambda: "in")
    with counted("GET", "/forgotten", 403):
        ask(app.test_client(), "/forgotten")


def test_websocket_is_not_counted_as_a_request(app: Flask) -> None:
    meanwhile: list[float] = []

    def view() -> str:
        telemetry.leave_unobserved()
        meanwhile.append(value(definitions.http_requests_in_flight))
        return "bye"

    add_view(app, "/ws", view)
    before = value(definitions.http_requests_in_flight)
    with captured_log() as sink:
        ask(app.test_client(), "/ws")
    assert meanwhile == [before]
    assert sink.records == []
    assert ("GET", "/ws", "200") not in definitions.http_requests._metrics
    assert value(definitions.http_requests_in_flight) == before


def test_trace_of_a_websocket_is_its_handshake(app: Flask, kept: KeptTraces) -> None:
    opened: list[telemetry.Handshake] = []

    def view() -> str:
        telemetry.leave_unobserved()
        opened.append(telemetry.handshake())
        with telemetry.span("much later"):
            return "bye"

    add_view(app, "/ws", view)
    ask(app.test_client(), "/ws")
    (trace,) = kept.traces
    assert (trace["name"], trace["status"], trace["outcome"], trace["spans"]) == ("GET /ws", 101, "ok", [])
    assert opened == [telemetry.Handshake(trace["request_id"], "127.0.0.1", (trace["trace_id"], trace["span_id"]))]


def test_request_that_is_left_out_of_the_numbers_has_no_trace(app: Flask, kept: KeptTraces) -> None:
    add_view(app, "/left", lambda: telemetry.leave_unobserved() or "left")
    ask(app.test_client(), "/left")
    assert kept.traces == []


def test_many_random_requests_make_few_series(client: FlaskClient) -> None:
    before = set(definitions.http_requests._metrics)
    for number in range(300):
        ask(
            client,
            f"/{number:x}/{number * 7919}",
            ["GET", "HEAD", f"M{number}"][number % 3],
            headers={"Host": f"h{number}"},
        )
    new = {labels[:2] for labels in set(definitions.http_requests._metrics) - before}
    assert new <= {("GET", "_unmatched"), ("HEAD", "_unmatched"), ("_OTHER", "_unmatched")}


def test_series_beyond_the_bound_are_dropped_and_counted(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    add_view(app, "/beyond", lambda: "beyond")
    monkeypatch.setattr(request_observer, "_MAX_SERIES", 0)
    with grows(definitions.telemetry_series_dropped), grows(definitions.http_requests.labels("_OTHER", "other", "200")):
        assert ask(app.test_client(), "/beyond").text == "beyond"
    assert ("GET", "/beyond", "200") not in definitions.http_requests._metrics


# -- ids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 64, "0af7651916cd43dd8448eb211c80319c"])
def test_request_id_of_a_trusted_proxy_that_is_valid_is_kept(app: Flask, given: str) -> None:
    add_view(app, "/id", lambda: telemetry.request_id() or "")
    with captured_log() as sink:
        answer = ask(app.test_client(), "/id", headers={"X-Request-ID": given}, environ_overrides=BY_PROXY)
    assert answer.text == answer.headers["X-Request-ID"] == sink.records[-1]["request_id"] == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x" * 65,
        "with space",
        'quote"',
        "né",
        "a/b",
        "a\x00b",
        "4242424242424242",
        "sk_live_abcdefghijkl",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl",
    ],
)
def test_request_id_that_is_invalid_or_a_credential_is_replaced(client: FlaskClient, given: str) -> None:
    answer = ask(client, "/health", environ_overrides={"HTTP_X_REQUEST_ID": given, **BY_PROXY})
    assert re.fullmatch(r"[0-9a-f]{24}", answer.headers["X-Request-ID"])


def test_request_id_of_a_stranger_is_replaced_and_kept_in_a_field_of_its_own(app: Flask) -> None:
    add_view(app, "/id", lambda: telemetry.request_id() or "")
    with captured_log() as sink:
        answer = ask(app.test_client(), "/id", headers={"X-Request-ID": "seen-on-an-error-page"})
    (record,) = sink.records
    assert re.fullmatch(r"[0-9a-f]{24}", answer.text)
    assert answer.headers["X-Request-ID"] == record["request_id"] == answer.text
    assert record["client_request_id"] == "seen-on-an-error-page"


@pytest.mark.parametrize("given", ["with space", "sk_live_abcdefghijkl", "x" * 65])
def test_request_id_of_a_stranger_that_is_invalid_is_kept_nowhere(client: FlaskClient, given: str) -> None:
    with captured_log() as sink:
        ask(client, "/health", headers={"X-Request-ID": given})
    assert "client_request_id" not in sink.records[-1]
    assert given not in str(sink.records)


def test_request_id_is_believed_by_the_address_of_the_peer(settings: Settings) -> None:
    app = create_app(with_settings(settings, trusted_proxies=(ipaddress.ip_network("192.0.2.1"),)))
    given = {"X-Request-ID": "my-id.7", "X-Forwarded-For": "203.0.113.9"}
    by_proxy = ask(app.test_client(), "/health", headers=given, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    direct = ask(app.test_client(), "/health", headers=given, environ_base={"REMOTE_ADDR": "192.0.2.2"})
    assert by_proxy.headers["X-Request-ID"] == "my-id.7"
    assert direct.headers["X-Request-ID"] != "my-id.7"


def test_request_ids_differ(client: FlaskClient) -> None:
    assert len({ask(client, "/health").headers["X-Request-ID"] for _ in range(20)}) == 20


def test_record_of_a_request_carries_its_id_and_one_after_it_does_not(app: Flask) -> None:
    import logging

    add_view(app, "/logs", lambda: logging.getLogger("church.test").info("inside") or "done")
    with captured_log() as sink:
        ask(app.test_client(), "/logs", headers={"X-Request-ID": "my-id.7"}, environ_overrides=BY_PROXY)
        logging.getLogger("church.test").info("outside")
    inside, access, outside = sink.records
    assert inside["request_id"] == access["request_id"] == "my-id.7"
    assert "request_id" not in outside


def test_time_of_a_request_counts_from_the_first_byte_of_its_head(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_observer.time, "perf_counter", lambda: 20.0)
    with captured_log() as sink:
        ask(client, "/health", environ_base={"church.started": 17.5})
    assert sink.records[-1]["duration_ms"] == 2500.0


def test_access_record_names_the_client_and_the_time_it_took(client: FlaskClient) -> None:
    with captured_log() as sink:
        ask(client, "/health", environ_base={"REMOTE_ADDR": "203.0.113.9"})
    record = sink.records[-1]
    assert record["ip"] == "203.0.113.9"
    assert 0 < record["duration_ms"] < 60_000


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        ("/plain", "/plain", "GET /plain 200"),
        ("/pages-of/<path:slug>", "/pages-of/a/b", "GET /pages-of/<slug> 200"),
        ("/n/<int:n>/<any(a, b):kind>/<name>", "/n/5/a/x", "GET /n/<n>/<kind>/<name> 200"),
        ("/elsewhere", "/nowhere", "GET _unmatched 404"),
    ],
)
def test_access_record_message_is_method_route_and_status(app: Flask, rule: str, path: str, message: str) -> None:
    add_view(app, rule, lambda **_: "fine")
    with captured_log() as sink:
        ask(app.test_client(), path)
    assert sink.records[-1]["message"] == message


# -- records of errors ----------------------------------------------------------------------------------------------


def failing(name: str) -> str:
    """A view with a bug."""
    return {}[name]


def test_record_of_an_error_says_where_it_happened_and_what_it_is(app: Flask) -> None:
    add_view(app, "/fail/<name>", failing)
    with captured_log() as sink:
        ask(app.test_client(), "/fail/secret-page")
    (record,) = (record for record in sink.records if record["level"] == "ERROR")
    assert (record["method"], record["route"], record["error_type"]) == ("GET", "/fail/<name>", "KeyError")
    assert re.fullmatch("[0-9a-f]{16}", record["fingerprint"])
    assert "path" not in record


def test_record_of_an_error_elsewhere_has_another_fingerprint(app: Flask) -> None:
    add_view(app, "/fail/<name>", failing)
    add_view(app, "/parse", lambda: json.loads("{"))
    with captured_log() as sink:
        for path in ("/fail/a", "/fail/b", "/parse"):
            ask(app.test_client(), path)
    first, second, third = (record["fingerprint"] for record in sink.records if record["level"] == "ERROR")
    assert first == second != third


def test_record_with_a_traceback_below_error_and_error_without_one_have_the_route(app: Flask) -> None:
    def view() -> str:
        log.error("it broke")
        try:
            failing("x")
        except KeyError:
            log.warning("it was late", exc_info=True)
        log.warning("all is well")
        return ""

    log = logging.getLogger("church.test")
    add_view(app, "/broken", view)
    with captured_log() as sink:
        ask(app.test_client(), "/broken")
    found = {record["message"]: record for record in sink.records}
    assert found["it broke"]["route"] == found["it was late"]["route"] == "/broken"
    assert "error_type" not in found["it broke"]
    assert found["it was late"]["error_type"] == "KeyError"
    assert "route" not in found["all is well"]


def test_record_of_an_error_outside_of_requests_has_a_fingerprint_and_no_route() -> None:
    with captured_log() as sink:
        try:
            failing("x")
        except KeyError:
            logging.getLogger("church.test").exception("it broke")
    (record,) = sink.records
    assert len(record["fingerprint"]) == 16
    assert "route" not in record


# -- telemetry that fails -------------------------------------------------------------------------------------------


def broken(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("telemetry is broken")


@pytest.mark.parametrize("part", ["_instruments_of", "_note", "Observation"])
def test_telemetry_that_fails_is_counted_and_the_request_is_answered(
    app: Flask, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    add_view(app, "/fine", lambda: "fine")
    monkeypatch.setattr(request_observer, part, broken)
    before = value(definitions.http_requests_in_flight)
    with lenient(), grows(definitions.telemetry_errors.labels("request")):
        answer = ask(app.test_client(), "/fine")
    assert (answer.status_code, answer.text) == (200, "fine")
    assert value(definitions.http_requests_in_flight) == before


@pytest.mark.parametrize("part", ["_instruments_of", "_note", "Observation"])
def test_telemetry_that_fails_raises_in_the_tests(app: Flask, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True
    add_view(app, "/fine", lambda: "fine")
    monkeypatch.setattr(request_observer, part, broken)
    with pytest.raises(RuntimeError, match="telemetry is broken"):
        ask(app.test_client(), "/fine")
    monkeypatch.undo()
    definitions.http_requests_in_flight.set(0)


def test_request_without_a_slot_to_count_in_is_answered(
    app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    door = Door(lambda _environ, _start: [b"fine"], lambda: None, tmp_path)
    monkeypatch.setattr(request_observer.worker_files.SLOTS, "take", broken)
    with lenient(), grows(definitions.telemetry_errors.labels("request")):
        assert list(door({"REQUEST_METHOD": "GET"}, lambda *_: None)) == [b"fine"]


def test_second_finish_does_nothing(app: Flask) -> None:
    with captured_log() as sink:
        observation = request_observer.Observation({"REQUEST_METHOD": "GET"}, telemetry._handler)
        observation.finish()
        observation.finish()
    assert len(sink.lines) == 1


def test_request_that_has_ended_is_not_the_current_one(app: Flask) -> None:
    add_view(app, "/fine", lambda: telemetry.request_id() or "")
    assert (
        ask(app.test_client(), "/fine", headers={"X-Request-ID": "my-id.7"}, environ_overrides=BY_PROXY).text
        == "my-id.7"
    )
    assert telemetry.request_id() is None
    with captured_log() as sink:
        telemetry.track_security_event("invalid_token", "low")
    assert {"ip", "method", "request_id"} & set(sink.records[0]) == set()


def test_observation_leaves_the_request_headers_unchanged(app: Flask) -> None:
    seen: list[Callable[[], str | None] | str | None] = []
    add_view(app, "/seen", lambda: seen.append(request.headers.get("X-Request-ID")) or "seen")
    ask(app.test_client(), "/seen", headers={"X-Request-ID": "bad id"})
    assert seen == ["bad id"]


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_request_knows_the_cpu_time_that_it_has_used(app: Flask) -> None:
    seen: list[request_observer.Observation] = []

    def view() -> str:
        observation = request_observer.current_observation()
        assert observation is not None
        before = observation.cpu_seconds()
        burn(0.1)
        assert observation.cpu_seconds() - before >= 0.1
        seen.append(observation)
        return "done"

    add_view(app, "/x", view)
    ask(app.test_client(), "/x")
    used = seen[0].cpu_seconds()
    assert used >= 0.1
    burn(0.1)
    assert seen[0].cpu_seconds() == used
