"""The threat scan of a request: the parts that are scanned, the parts that never are, and the findings."""

from __future__ import annotations

import gzip
import json
import random
from io import BytesIO
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from church import create_app
from church.config import Settings
from church.observability import raise_in_tests
from church.observability.metrics import definitions
from church.observability.threats import scan_request, scan_text
from church.telemetry import never_quote_body, never_scan_body
from church.web.rate_limits import limited
from tests.support.helpers import add_view, captured_log, grows, with_settings

SQL = "1' UNION SELECT password FROM users--"
XSS = "<script>alert(document.cookie)</script>"


def site(settings: Settings, **changes: Any) -> Flask:
    app = create_app(with_settings(settings, **changes))
    app.testing = True
    return app


def echo() -> dict[str, Any]:
    return {
        "form": request.form.to_dict(flat=False),
        "files": list(request.files),
        "json": request.get_json(silent=True),
    }


@pytest.fixture
def app(settings: Settings) -> Flask:
    app = site(settings)
    add_view(app, "/echo", echo, methods=["GET", "POST"])
    add_view(app, "/left", never_scan_body(lambda: request.get_data(as_text=True)), methods=["POST"])
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def found(client: FlaskClient, path: str = "/echo", **options: Any) -> tuple[Any, list[tuple[str, str]]]:
    """The answer, and the findings that the request gave: each counted, and logged as one security event."""
    before = {labels: child._value.get() for labels, child in definitions.suspicious_activity._metrics.items()}
    events = definitions.security_events.labels("threat_detected", "high")
    counted = events._value.get()
    with captured_log() as sink:
        answer = client.open(path, buffered=True, **{"method": "POST", **options})
    grown = [
        labels
        for labels, child in definitions.suspicious_activity._metrics.items()
        for _ in range(int(child._value.get() - before[labels]))
    ]
    assert events._value.get() - counted == len(grown)
    told = [(r["activity_type"], r["source"]) for r in sink.records if r["event"] == "security.threat_detected"]
    assert sorted(told) == sorted(grown)
    for record in sink.records:
        assert "hunter2" not in json.dumps(record)
    return answer, sorted(grown)


def sources(client: FlaskClient, path: str = "/echo", **options: Any) -> set[str]:
    return {source for _activity, source in found(client, path, **options)[1]}


def test_ordinary_request_gives_no_finding(client: FlaskClient) -> None:
    answer, findings = found(client, data={"name": "Jane", "note": "I select the best of the table"})
    assert answer.status_code == 200
    assert findings == []


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({"query_string": {"q": SQL}}, "query"),
        ({"query_string": {SQL: "x"}}, "query"),
        ({"headers": {"User-Agent": XSS}}, "header"),
        ({"headers": {"Referer": "https://x/?" + XSS}}, "header"),
        ({"data": {"note": XSS}}, "form"),
        ({"data": {XSS: "note"}}, "form"),
        ({"data": {"note": XSS, "file": (BytesIO(b"x"), "a.txt")}}, "form"),
        ({"data": {"file": (BytesIO(b"x"), "../../../../etc/passwd")}}, "form"),
        ({"data": {"../../../../etc/passwd": (BytesIO(b"x"), "a.txt")}}, "form"),
        ({"data": {"file": (BytesIO(b"x"), "a.txt", "text/plain; x=" + XSS)}}, "form"),
        ({"data": f"<x>{XSS}</x>".encode("utf-16"), "content_type": "application/xml"}, "form"),
        ({"json": {"note": XSS}}, "json"),
        ({"json": {XSS: 1}}, "json"),
        ({"json": [[[["deep", [XSS]]]]]}, "json"),
        ({"json": XSS}, "json"),
        ({"data": "{not json " + XSS, "content_type": "application/json"}, "json"),
        ({"data": json.dumps({"a": XSS}), "content_type": "application/vnd.api+json"}, "json"),
        ({"data": XSS, "content_type": "text/plain"}, "form"),
        ({"data": f"<x>{XSS}</x>", "content_type": "application/xml"}, "form"),
        ({"data": XSS.encode("utf-8") + b"\xff\xfe", "content_type": "text/plain"}, "form"),
    ],
)
def test_attack_is_found_in_its_part_of_the_request(client: FlaskClient, options: dict[str, Any], source: str) -> None:
    answer, findings = found(client, **options)
    assert {where for _activity, where in findings} == {source}
    assert answer.status_code == 200  # it observes


@pytest.mark.parametrize("path", ["/pages/..%2f..%2f..%2fetc%2fpasswd", "/nowhere/%3Cscript%3Ealert(1)%3C/script%3E"])
def test_attack_in_the_raw_path_is_found(client: FlaskClient, path: str) -> None:
    assert sources(client, path, method="GET", environ_overrides={"RAW_URI": path}) == {"path"}


def test_attack_on_a_path_of_no_route_is_found_in_its_body_too(client: FlaskClient) -> None:
    answer, findings = found(client, "/nowhere", data={"note": XSS})
    assert answer.status_code == 404
    assert findings == [("xss", "form")]


def test_attacks_of_several_kinds_are_each_a_finding(client: FlaskClient) -> None:
    _answer, findings = found(client, query_string={"q": SQL}, data={"note": XSS})
    assert ("sql_injection", "query") in findings
    assert ("xss", "form") in findings


def test_activities_and_sources_are_labels_of_the_metric() -> None:
    labels = set(definitions.suspicious_activity._metrics)
    assert labels == {(activity, source) for activity in scan_text.ACTIVITY_TYPES for source in definitions.SOURCES}


@pytest.mark.parametrize(
    "options",
    [
        {"data": {"password": "hunter2' UNION SELECT 1--"}},
        {"data": {"new_password": "hunter2' UNION SELECT 1--", "token": "hunter2" + XSS}},
        {"json": {"password": "hunter2' UNION SELECT 1--", "deep": {"card_number": ["hunter2" + XSS]}}},
        {"query_string": {"token": "hunter2' UNION SELECT 1--"}},
        {"headers": {"Authorization": "Bearer hunter2' UNION SELECT 1--"}},
        {"headers": {"X-Api-Key": "hunter2" + XSS, "Stripe-Signature": "hunter2" + XSS}},
    ],
)
def test_secrets_are_not_scanned(client: FlaskClient, options: dict[str, Any]) -> None:
    assert found(client, **options)[1] == []


@pytest.mark.parametrize(
    "options",
    [
        {"data": '{"password": "hunter2", "note": "' + XSS, "content_type": "application/json"},
        {"data": "password=hunter2&note=" + XSS, "content_type": "text/plain"},
        {"data": '{"new_password": "hunter2"' + XSS, "content_type": "text/plain"},
        {"data": '{"password": "a phrase of hunter2' + "' UNION SELECT 1--", "content_type": "application/json"},
        {"data": "password=a phrase of hunter2' UNION SELECT 1--", "content_type": "text/plain"},
        {"data": '{"current": "a phrase of hunter2' + "' UNION SELECT 1--", "content_type": "text/plain"},
        {"data": '{"p\\u0061ssword": "hunter2", "a": "' + XSS, "content_type": "application/json"},
        {"data": f"<p&#97;ssword>a hunter2</p&#97;ssword>{XSS}", "content_type": "application/xml"},
        {"data": f"<pw>a hunter2</pw>{XSS}".encode("utf-16"), "content_type": "application/xml"},
        {"data": f"<pin>hunter2</pin><a>{XSS}</a>", "content_type": "text/xml"},
        {"data": "p%61ssword=hunter2&note=" + XSS, "content_type": "text/plain"},
        {"data": "cGFzc3dvcmQ9aHVudGVyMiZub3RlPQ== hunter2 passw" + "x" * 70_000 + XSS, "content_type": "text/plain"},
        {"data": "password=" + "x" * 49_000 + "hunter2 " + "x" * 16_000 + XSS, "content_type": "text/plain"},
        {"data": "x" * 60_000 + "password=hunter2 " + (XSS + " " * 20_000)[: 16_384 - 8], "content_type": "text/plain"},
        {"json": ["password", "a phrase of hunter2" + XSS]},
        {"json": [{"name": "pw", "value": "a phrase of hunter2" + XSS}]},
        {"json": {"body": json.dumps({"password": "a phrase of hunter2", "note": XSS})}},
        {"data": {"name": "password", "value": "a phrase of hunter2" + XSS}},
        {"data": {"p%61ssword": "hunter2" + XSS, "note": XSS}},
        {"data": {"p&#97;ssword": "hunter2" + XSS, "file": (BytesIO(b"x"), "../../../../etc/passwd")}},
        {"data": {"p%61ssword": (BytesIO(b"x"), "hunter2.txt"), "note": XSS}},
        {"headers": {"X-Note": f"pw=a phrase of hunter2 {XSS}"}},
        {"headers": {"Referer": f"https://church.example/a?p%61ssword=hunter2%20phrase&q={XSS}"}},
        {"query_string": f"p%61ssword=hunter2&a=pw%3Da+phrase+of+hunter2+{XSS}"},
    ],
)
def test_secret_beside_an_attack_in_a_body_that_cannot_be_read_is_not_logged(
    client: FlaskClient, options: dict[str, Any]
) -> None:
    assert found(client, **options)[1]  # which looks for hunter2 in the log


@pytest.mark.parametrize("address", ["http://church.example", "https://church.example"])
def test_cookie_of_the_site_is_not_scanned(settings: Settings, address: str) -> None:
    app = site(settings, site_url=address)
    assert scan_text.scan_request("/", "", [("cookie", f"{app.config['SESSION_COOKIE_NAME']}={SQL}")]) == ()


@pytest.mark.parametrize(("name", "seen"), [("theme", [("xss", "header")]), ("church", []), ("other_session", [])])
def test_cookies_of_others_are_scanned_and_not_logged(app: Flask, name: str, seen: list[tuple[str, str]]) -> None:
    client = app.test_client(use_cookies=False)  # the header as it is
    assert found(client, headers={"Cookie": f"a=b; {name}=hunter2{XSS}"})[1] == seen


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json", "text/plain"])
def test_body_of_a_view_marked_leave_body_is_not_scanned(client: FlaskClient, content_type: str) -> None:
    body = json.dumps({"note": XSS})
    answer, findings = found(client, "/left", data=body, content_type=content_type)
    assert findings == []
    assert answer.text == body
    assert sources(client, "/left", data=body, query_string={"q": SQL}) == {"query"}


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity", "x-unknown"])
@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/xml", "application/x-www-form-urlencoded"]
)
def test_body_with_a_content_encoding_is_refused_unscanned(settings: Settings, coding: str, content_type: str) -> None:
    client = site(settings, threats="block").test_client()
    for body in (gzip.compress(b'{"title": "Sunday"}', mtime=0), f'{{"note": "{XSS}"}}'.encode()):
        answer, findings = found(
            client, "/pages/", data=body, content_type=content_type, headers={"Content-Encoding": coding}
        )
        assert (answer.status_code, findings) == (415, [])


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/xml", "application/x-www-form-urlencoded"]
)
def test_binary_body_gives_no_finding(client: FlaskClient, content_type: str) -> None:
    source = random.Random(content_type)
    for _ in range(30):
        body = source.randbytes(source.randrange(500, 20_000))
        assert found(client, data=body, content_type=content_type)[1] == []


def test_body_is_still_readable_by_the_view(client: FlaskClient) -> None:
    answer = client.post("/echo", data={"a": ["1", "2"], "f": (BytesIO(b"x"), "n.txt")})
    assert answer.get_json() == {"form": {"a": ["1", "2"]}, "files": ["f"], "json": None}
    assert client.post("/echo", json={"a": [1]}).get_json()["json"] == {"a": [1]}


def test_json_that_is_too_deep_is_a_400(client: FlaskClient) -> None:
    answer = client.post("/echo", data="[" * 10_000 + "]" * 10_000, content_type="application/json")
    assert answer.status_code == 400


@pytest.mark.parametrize("before", ["", "x" * 100, "x" * 5_000])
@pytest.mark.parametrize("after", ["", "x" * 100, "x" * 5_000])
def test_body_over_its_limit_is_scanned_at_both_ends(settings: Settings, before: str, after: str) -> None:
    app = site(settings, threats_body=1000)
    add_view(app, "/echo", echo, methods=["POST"])
    client = app.test_client()
    is_middle = len(before) > 1000 and len(after) > 1000
    for options in (
        {"data": before + XSS + after, "content_type": "text/plain"},
        {"data": f"{{{before}{XSS}{after}", "content_type": "application/json"},
        {"json": {"a": before, "b": XSS, "c": after}},
        {"data": {"a": before, "b": XSS, "c": after}},
        {"data": {"a": before, "b": XSS, "c": after}, "content_type": "multipart/form-data"},
    ):
        assert bool(found(client, **options)[1]) is not is_middle


def test_body_with_a_limit_of_zero_is_not_read(settings: Settings) -> None:
    app = site(settings, threats_body=0)
    add_view(app, "/echo", lambda: str(request.content_length), methods=["POST"])
    assert found(app.test_client(), data={"note": XSS})[1] == []


def test_long_values_are_cut_at_both_ends_and_keep_their_names() -> None:
    pairs = [("first", "a" * 20 + "b" * 20), ("second", "c"), ("third", "d" * 20 + "e" * 20)]
    assert scan_request._bounded(pairs, 97) == (pairs, False) == (scan_request._bounded(pairs, 1_000)[0], False)
    assert scan_request._bounded(pairs, 40) == ([("first", "a" * 20 + "b" * 5), ("third", "e" * 5)], True)
    assert scan_request._bounded(pairs, 0) == ([], True)


def test_request_that_declares_a_body_and_sends_none_is_fine(client: FlaskClient) -> None:
    assert client.post("/echo", data=b"", content_type="application/json").status_code == 200


def test_excerpt_is_bounded_and_cannot_start_a_line(client: FlaskClient) -> None:
    with captured_log() as sink:
        client.get("/echo", query_string={"q": "\n\x1b\u2028" + XSS * 50}, buffered=True)
    excerpts = [record["excerpt"] for record in sink.records if "excerpt" in record]
    assert excerpts
    for excerpt in excerpts:
        assert len(excerpt) <= 200
        assert excerpt.isprintable()


@pytest.mark.parametrize("road", ["verify", "reset", "email", "first-admin"])
@pytest.mark.parametrize(
    "address",
    [
        "/auth/{road}/{token}%22%3E" + XSS,
        "/auth/{road}/{token}" + XSS,
        "/auth/{road}/{token}/..%2f..%2fetc%2fpasswd",
        "/auth/{road}/{token}%00",
        "/auth/{road}/{token}" + "." * 60 + XSS,  # the cut would fall into the token
        "/auth/{road}/{token}" + "%2e" * 70 + XSS,
        "/auth/{road}/{token}" + "/x" * 40 + XSS,
        "/Auth/{road}/{token}" + XSS,
        "/AUTH/{road}///{token}" + XSS,
        "/x//auth//{road}//{token}" + XSS,
        "/auth%2f{road}%252f{token}" + XSS,
        "/auth\\{road}\\{token}" + XSS,
        "/pages/?q=https://church.example/auth/{road}/{token}" + XSS,
        "/auth/login?next=%2Fauth%2F{road}%2F{token}" + XSS,
    ],
)
def test_token_of_an_emailed_link_is_in_no_record_of_an_attack(client: FlaskClient, address: str, road: str) -> None:
    mac = "k8D7-q_0aXbGhZk3YtW9vNcRm2LsPdEfJ4uK6iTo1Bz"
    for named in (road, road.title()):
        with captured_log() as sink:
            client.get(address.format(road=named, token=f"34.{mac}"), buffered=True)
            client.get("/", headers={"Referer": address.format(road=named, token=f"34.{mac}")}, buffered=True)
        told = json.dumps(sink.records)
        assert [record for record in sink.records if "excerpt" in record]
        assert [mac[at : at + 5] for at in range(len(mac) - 4) if mac[at : at + 5] in told] == []


def test_attack_behind_an_emailed_link_is_still_shown(client: FlaskClient) -> None:
    with captured_log() as sink:
        client.get(f"/auth/reset/34.k8D7-q_0aXbGhZk3YtW9%22{XSS}", buffered=True)
    [shown] = [record["excerpt"] for record in sink.records if "excerpt" in record]
    assert shown.startswith("auth/reset/")
    assert "<script>alert(" in shown


def test_block_refuses_an_attack_with_403_before_the_view(settings: Settings) -> None:
    called: list[int] = []
    app = site(settings, threats="block")
    add_view(app, "/view", lambda: called.append(1) or "in", methods=["GET", "POST"])
    client = app.test_client()
    with grows(definitions.security_events.labels("request_blocked", "high")):
        answer, findings = found(client, "/view", data={"note": XSS})
    assert answer.status_code == 403
    assert findings == [("xss", "form")]
    assert XSS not in answer.text
    assert called == []
    assert client.get("/view").text == "in"


@pytest.mark.parametrize(
    "text",
    ['She said "select a seat from the left row" and I did', "drop by; select one; update me", "`code`", "/etc/nginx",
     "curl -sI", "((((", "****", "it's either 'a' or 'b' = fine"],
)  # fmt: skip
@pytest.mark.parametrize("part", ["query_string", "data", "json"])
def test_block_records_words_and_quotes_and_lets_them_pass(settings: Settings, text: str, part: str) -> None:
    app = site(settings, threats="block")
    add_view(app, "/view", lambda: "in", methods=["POST"])
    answer, findings = found(app.test_client(), "/view", **{part: {"q": text}})
    assert (answer.status_code, bool(findings)) == (200, True)


def test_block_never_refuses_for_the_referer_alone(settings: Settings) -> None:
    client = site(settings, threats="block").test_client()
    for query in ("sql+union+select+tutorial", XSS, SQL):
        referer = {"Referer": f"https://search.example/search?q={query}"}
        answer, findings = found(client, "/", method="GET", headers=referer)
        assert (answer.status_code, {source for _, source in findings}) == (200, {"header"})
    assert client.get("/", headers={"Referer": f"https://x.example/?q={XSS}", "User-Agent": XSS}).status_code == 403


def test_block_refuses_only_a_proof_where_members_write_to_each_other(settings: Settings) -> None:
    app = site(settings, threats="block")
    add_view(app, "/said", never_quote_body(lambda: "in"), methods=["POST"])
    add_view(app, "/form", lambda: "in", methods=["POST"])
    client = app.test_client()
    code = "select * from users, <iframe>, {{7*7}} and $(date)"
    assert client.post("/form", data={"text": code}).status_code == 403
    for options in ({"data": {"text": code}}, {"json": {"text": code}}):
        assert client.post("/said", **options).status_code == 200
    assert client.post("/said", data={"text": XSS}).status_code == 403
    assert client.post("/said", data={"text": "hello"}, query_string={"q": code}).status_code == 403


@limited("page")
def once() -> str:
    return "once"


def test_scan_sees_requests_that_limits_refuse(settings: Settings) -> None:
    app = site(settings, limit_page="1/hour")
    add_view(app, "/once", once, methods=["GET", "POST"])
    client = app.test_client()
    client.get("/once")
    answer, findings = found(client, "/once", data={"note": XSS})
    assert answer.status_code == 429
    assert findings == [("xss", "form")]


def test_scan_sees_requests_that_csrf_refuses(settings: Settings) -> None:
    app = create_app(settings)
    add_view(app, "/form", lambda: "in", methods=["POST"], forms_of_ours=True)
    answer, findings = found(app.test_client(), "/form", data={"note": XSS})
    assert answer.status_code == 400
    assert findings == [("xss", "form")]


def test_scan_that_fails_is_counted_and_the_request_passes(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("the engine is broken")

    monkeypatch.setattr(scan_request.scan_text, "scan_request", broken)
    monkeypatch.setattr(raise_in_tests, "on", False)
    with grows(definitions.telemetry_errors.labels("scan")):
        assert client.get("/echo").status_code == 200


def test_body_that_is_too_large_is_refused_while_it_is_scanned(client: FlaskClient, app: Flask) -> None:
    too_much = b"note=" + b"x" * app.config["MAX_CONTENT_LENGTH"]
    answer = client.post("/echo", data=too_much, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413


@pytest.mark.parametrize("many", ["&".join(f"f{number}=1" for number in range(60_000)), "a&" * 400_000])
def test_thousands_of_fields_are_refused_before_they_are_parsed(client: FlaskClient, many: str) -> None:
    answer = client.post("/echo", data=many, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413


def test_headers_are_scanned_up_to_their_share_of_a_bound(client: FlaskClient, monkeypatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        scan_request.scan_text,
        "scan_request",
        lambda p, q, headers, *_: seen.append(sum(len(v) for _, v in headers)) or (),
    )
    client.get("/echo", headers={f"X-Note-{number}": "x" * 8_000 for number in range(90)})
    assert 0 < seen[0] <= 16_384
    parts = {f"f{number}": "x" for number in range(1_100)}
    assert client.post("/echo", data=parts, content_type="multipart/form-data").status_code == 413


def test_telemetry_off_scans_nothing(settings: Settings) -> None:
    app = site(settings, telemetry=False)
    add_view(app, "/echo", echo, methods=["POST"])
    before = {labels: child._value.get() for labels, child in definitions.suspicious_activity._metrics.items()}
    assert app.test_client().post("/echo", data={"note": XSS}).status_code == 200
    assert before == {labels: child._value.get() for labels, child in definitions.suspicious_activity._metrics.items()}
