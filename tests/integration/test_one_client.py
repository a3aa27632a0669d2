"""One client attacks the real workers: others get their answers before the attack ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from ops.faults import big_heads, connections, tiny_chunks
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site, running

_HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_PLACES = 20
_FORM = b"Host: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One worker, so that the attacker and the other client can't miss each other."""
    folder = tmp_path_factory.mktemp("one-client")
    with running(folder, WEB_CONCURRENCY="1", CHURCH_CONNECTIONS_PER_ADDRESS=str(_PLACES)) as one:
        yield one


def connect(site: Site, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), timeout=60, source_address=(source, 0))


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    while data := connection.recv(65_536):
        answer += data
    return answer


def is_served(site: Site, source: str) -> bool:
    with suppress(ConnectionError), connect(site, source) as client:
        client.sendall(_HEALTH)
        return read_all(client).startswith(b"HTTP/1.1 200")
    return False


def is_other_client_served(site: Site) -> bool:
    return is_served(site, "127.0.0.2")


def has_answer(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    except ConnectionError:  # refused, and reset because it had sent something
        return True
    finally:
        connection.setblocking(True)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(tiny_chunks.HEAD + b"1\r\na\r\n" * 10_000, id="tiny chunks"),
        pytest.param(tiny_chunks.HEAD + b"10\r\n0123456789abcdef\r\n" * 10_000, id="small chunks"),
        pytest.param(tiny_chunks.HEAD + b"0\r\n" + b"X: 1\r\n" * 1000, id="trailers"),
        pytest.param(connections.HALF_A_REQUEST, id="half a body"),
        pytest.param(big_heads.HEAD[:30_000], id="a large part of a head"),
        pytest.param(b"GET / HTTP/1.1\r\n", id="half a head"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_others_are_served_before_an_unfinished_request_of_one_client_ends(site: Site, sent: bytes) -> None:
    with connect(site) as attacker:
        attacker.sendall(sent)
        assert is_other_client_served(site)
        assert not has_answer(attacker)


def test_others_are_served_while_one_client_has_all_the_connections_it_may_have(site: Site) -> None:
    with ExitStack() as stack:
        attackers = [stack.enter_context(connect(site)) for _ in range(5 * _PLACES)]
        for attacker in attackers:
            with suppress(ConnectionError):  # refused already
                attacker.sendall(connections.HALF_A_REQUEST)
        _check_refusals(site, attackers)
    wait_until(lambda: _refusals(site) >= 4 * _PLACES, "they are recorded")
    wait_until(lambda: is_served(site, "127.0.0.1"), "the places are free again")
    assert site.value("security_events_total", event_type="connections_refused", severity="low") >= 4 * _PLACES


def _refusals(site: Site) -> int:
    events = [record for record in site.records() if record["event"] == "security.connections_refused"]
    assert {event["ip"] for event in events} <= {"127.0.0.1"}
    assert len(events) < _PLACES  # not one each
    return sum(event["count"] for event in events)


def _check_refusals(site: Site, attackers: list[socket.socket]) -> None:
    assert is_other_client_served(site)
    wait_until(lambda: sum(map(has_answer, attackers)) >= 4 * _PLACES, "those beyond the bound are refused")
    assert not has_answer(attackers[0])
    answer = attackers[-1].recv(65_536).lower()
    assert answer.startswith(b"http/1.1 429 too many requests\r\nconnection: close\r\n")
    assert b"\r\nretry-after: 5\r\n" in answer
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer


def test_places_of_closed_connections_are_free_again(site: Site) -> None:
    for _ in range(3 * _PLACES):
        with connect(site, "127.0.0.3") as one:
            one.sendall(_HEALTH)
            assert read_all(one).startswith(b"HTTP/1.1 200")


def test_body_with_more_framing_than_content_is_400(site: Site) -> None:
    with connect(site) as attacker:
        attacker.sendall(tiny_chunks.HEAD + b"1\r\na\r\n" * 20_000)
        assert read_all(attacker).startswith(b"HTTP/1.1 400")


def test_head_too_large_in_all_is_431_and_reaches_no_view(site: Site) -> None:
    before = site.value("http_requests_total", route="_unmatched", status_code="431")
    with connect(site) as attacker:
        attacker.sendall(big_heads.HEAD[:60_000])
        assert read_all(attacker).startswith(b"HTTP/1.1 431")
    assert site.value("http_requests_total", route="_unmatched", status_code="431") == before + 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/api/telemetry/deployment", b"401"), ("/stripe/webhook", b"400"), ("/nothing", b"404")],
)
def test_connection_goes_on_after_an_answer_that_left_a_small_body_unread(
    site: Site, path: str, expected: bytes
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nAuthorization: Bearer church_a_b\r\n"
    with connect(site) as client:
        client.sendall(f"{head}Content-Length: 2\r\n\r\n".encode() + b"{}" + _HEALTH)
        answers = read_all(client).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [expected, b"200"]
    assert b"\r\nconnection: keep-alive\r\n" in answers[0].lower()


@pytest.mark.parametrize(
    ("path", "length", "expected"),
    [("/nothing", 100_000, b"404"), ("/pages/", 10**10, b"413"), ("/nothing", 10, b"404")],
)
def test_answer_that_leaves_the_body_unread_says_that_the_connection_closes(
    site: Site, path: str, length: int, expected: bytes
) -> None:
    kind = b"image/png" if path == "/nothing" else b"application/json"
    with connect(site) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nContent-Type: ".encode()
        client.sendall(head + kind + b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = read_all(client)
    assert answer[9:12] == expected
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(("path", "invited"), [("/auth/login", True), ("/api/telemetry/deployment", False)])
def test_body_is_invited_only_if_the_view_reads_it(site: Site, path: str, invited: bool) -> None:
    headers = "Authorization: Bearer church_a_b\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with connect(site) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 2\r\n\r\n".encode())
        first = client.recv(65_536)
    assert first.startswith(b"HTTP/1.1 100 Continue\r\n\r\n" if invited else b"HTTP/1.1 401")
    assert invited or b"\r\nconnection: close\r\n" in first.lower()


def test_record_of_a_request_has_the_time_that_its_head_took(site: Site) -> None:
    with connect(site) as client:
        client.sendall(b"GET /robots.txt?slow HTTP/1.1\r\n")
        assert is_other_client_served(site)
        assert is_other_client_served(site)
        client.sendall(b"Host: a\r\nConnection: close\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 200")

    def durations(route: str) -> list[float]:
        return [r["duration_ms"] for r in site.records() if r.get("route") == route]

    wait_until(lambda: durations("/robots.txt"), "the request is recorded")
    assert durations("/robots.txt")[-1] > sum(durations("/health")[-2:])
