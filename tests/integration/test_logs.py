"""Logs of real workers: one whole line a request, through logrotate, a blocked pipe and a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support import load
from tests.support.log_lines import parse_record
from tests.support.programs import program
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import ROOT, Site, running, whole_lines

Start = Callable[..., Site]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For the tests that need no log of their own."""
    with running(tmp_path_factory.mktemp("site"), CHURCH_TRUSTED_PROXIES="127.0.0.1") as found:
        yield found


def access_records(folder: Path) -> Iterator[dict[str, object]]:
    for path in folder.glob("combined.log*"):
        for line in whole_lines(path):
            record = parse_record(line)
            if record["event"] == "http.request":
                yield record


@pytest.mark.needs("logrotate")
def test_logrotate_five_times_under_load_loses_and_tears_no_line(one: Site, tmp_path: Path) -> None:
    rules = (ROOT / "ops/logrotate/church").read_text()
    body = rules[rules.index("{") : rules.rindex("}") + 1]
    kept = [line for line in body.splitlines() if line.split()[:1] not in (["su"], ["create"], ["compress"])]
    config = tmp_path / "rotate.conf"
    config.write_text(f"{one.logs}/combined.log {one.logs}/error.log " + "\n".join(kept))
    config.chmod(0o644)
    one.logs.chmod(0o755)
    stop = threading.Event()
    background = load.in_background(
        lambda: load.run(one.port, ["/health", "/nowhere"], 8, lambda _: stop.is_set(), 0.01)
    )
    next(background)
    for turn in range(5):
        lines = one.value("http_requests_total")
        wait_until(lambda n=lines: one.value("http_requests_total") > n + 200, "load is on")
        subprocess.run([program("logrotate"), "--force", "--state", tmp_path / "state", config], check=True)
        wait_until(partial(has_lines, one.logs / "combined.log"), f"a new log after turn {turn}")
    stop.set()
    tally = next(background)
    assert tally.unanswered == 0
    wait_until(lambda: written(one) == answered(tally), "every request has its line")
    assert len(list(one.logs.glob("combined.log*"))) == 6


def has_lines(log: Path) -> bool:
    """Whether the log is there and holds something: an empty one is not rotated."""
    return log.exists() and log.stat().st_size > 0


def written(one: Site) -> Counter[tuple[object, object]]:
    return Counter(
        (r["route"], r["status"]) for r in access_records(one.logs) if r["route"] in {"/health", "_unmatched"}
    )


def answered(tally: load.Tally) -> Counter[tuple[object, object]]:
    routes = {"/health": "/health", "/nowhere": "_unmatched"}
    return Counter({(routes[path], status): n for (path, status), n in tally.answers.items()})


def test_access_record_joins_the_response_by_its_request_id(one: Site) -> None:
    assert one.get("/pages/terms", **{"X-Request-ID": "from-the-proxy.1"})[0] == 200
    wait_until(lambda: any(r["request_id"] == "from-the-proxy.1" for r in access_records(one.logs)), "its record")
    record = next(r for r in access_records(one.logs) if r["request_id"] == "from-the-proxy.1")
    assert (record["method"], record["route"], record["status"]) == ("GET", "/pages/<path:slug>", 200)
    assert {"timestamp", "level", "service", "version", "environment", "duration_ms", "ip"} <= set(record)


def test_console_that_is_not_read_delays_no_request_and_loses_no_file_line(site: Start, tmp_path: Path) -> None:
    one = Site(tmp_path)
    fifo = tmp_path / "console.txt"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR)  # a reader that never reads: the pipe fills and blocks
    try:
        one.start()
        tally = load.run(one.port, ["/health"], 8, lambda asked: asked >= 100)
        assert tally.answers == {("/health", 200): 800}
        wait_until(lambda: written(one)["/health", 200] == 800, "the file has every line")
    finally:
        os.close(keep)
        one.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root: run as root")
@pytest.mark.needs("mount", "umount")
def test_log_disk_that_is_full_drops_counts_and_recovers(site: Start, tmp_path: Path) -> None:
    disk = tmp_path / "logs"
    disk.mkdir()
    if subprocess.run([program("mount"), "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.fail("no small disk could be mounted")
    try:
        one = site(CHURCH_TRUSTED_PROXIES="127.0.0.1")
        load.run(one.port, ["/health"], 4, lambda asked: asked >= 150)
        wait_until(lambda: one.value("telemetry_errors_total", part="log") > 0, "lost lines are counted")
        assert one.get("/pages/terms")[0] == 200
        os.truncate(one.logs / "combined.log", 0)
        one.get("/health", **{"X-Request-ID": "after-the-flood"})
        wait_until(lambda: "after-the-flood" in (one.logs / "combined.log").read_text(), "it writes again")
        one.stop()
    finally:
        subprocess.run([program("umount"), "-l", disk], check=True)


def test_secrets_of_a_request_reach_no_log_and_no_metric(one: Site) -> None:
    marker = "kAleidoscope-91"
    one.get(
        f"/pages/?q=x&token={marker}",
        Authorization=f"Bearer {marker}",
        Cookie=f"church={marker}",
        Referer=f"https://{marker}@other.example/{marker}?token={marker}",
        **{"Stripe-Signature": f"t=1,v1={marker}", "User-Agent": f"<script>alert(1)</script>?password={marker}"},
    )
    for path in (
        f"/auth/reset/{marker}",
        f"/auth%2Fverify/{marker}",
        f"/x/token/{marker}",
        f"/x/{marker}@home.example",
    ):
        one.get(path)
    wait_until(lambda: any(r.get("route") == "/auth/reset/<token>" for r in one.records()), "the last one is logged")
    wait_until(lambda: any(r["event"] == "security.threat_detected" for r in one.records()), "the finding is logged")
    everything = "".join(path.read_text() for path in one.logs.glob("*.log")) + one.console.read_text()
    assert marker not in everything
    assert marker not in one.get("/metrics")[1].decode()


@pytest.mark.parametrize(("fields", "level"), [(None, "severity_text"), ("plain", "level")])
def test_all_processes_of_a_site_write_the_same_names(site: Start, fields: str | None, level: str) -> None:
    one = site(**({"CHURCH_LOG_FIELDS": fields} if fields else {}))
    one.get("/pages/nowhere")
    one.stop()
    lines = whole_lines(one.logs / "combined.log")
    assert {parse_record(line)["logger"] for line in lines} >= {"church.access", "gunicorn.error"}
    assert all(level in json.loads(line) for line in lines)
    (record,) = (record for record in one.records() if record["event"] == "http.request" and record["status"] == 404)
    assert record["path"] == "/pages/nowhere"


FLOODER, ATTACKER = "203.0.113.5", "198.51.100.7"


def test_flood_of_one_address_leaves_the_records_of_an_attack(site: Start) -> None:
    one = site(CHURCH_LIMIT_API="1/minute", CHURCH_TRUSTED_PROXIES="127.0.0.1")
    refused = 0
    for number in range(200):
        refused += one.get("/feed.xml", **{"X-Forwarded-For": FLOODER})[0] == 429
        if number % 10 == 0:
            forge_webhook(one)
    one.stop()
    records = one.records()
    assert [r["ip"] for r in records if r["event"] == "security.webhook_forged"] == [ATTACKER] * 20
    shown = sum(r["event"] == "security.rate_limit_exceeded" for r in records)
    sums = [r for r in records if r["event"] == "security.records_withheld"]
    assert {(r["event_type"], r["addresses"]) for r in sums} == {("rate_limit_exceeded", 1)}
    assert shown + sum(r["withheld"] for r in sums) == refused
    assert all("request_id" not in r for r in sums)


def forge_webhook(one: Site) -> None:
    headers = {"X-Forwarded-For": ATTACKER, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{one.url}/stripe/webhook", b'{"id": "evt_1"}', headers)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=60)
