"""Soak test: a whole site with everything on, under mixed requests, for a long time. Does anything grow?"""

from __future__ import annotations

import secrets
import statistics
import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

from ops.bench.client import browser_headers, drive
from ops.bench.collector import collecting
from ops.bench.live_crowd import Crowd, frame
from ops.bench.server import UNLIMITED
from ops.bench.whole_site import WholeSite, running

_PATHS = (
    *("/", "/pages/", "/pages/what-this-site-is", "/pages/?tag=running", "/feed.xml", "/sitemap.xml"),
    *("/stripe/pricing", "/video/", "/auth/login", "/auth/register", "/health", "/ready", "/static/css/site.css"),
)
_SIGNED_IN = ("/", "/pages/what-this-site-is", "/pages/?q=backup", "/auth/account", "/live/public")
_OTHERS = (
    "/metrics",
    "/pages/there-is-none",
    "/pages/?q=1'+union+select+password+from+users--",
    "/pages/../../etc/passwd",
)
_EACH = 40  # requests of a path before the next
_CONNECTIONS = 8
_BURST = 64  # connections at once, in the beginning
_CROWD = 40  # live connections
_CROWD_SECONDS = 12.0  # until they are opened anew: they answer no ping, and the site closes silent ones after 25
_SAMPLES = 60
_MOST_GROWTH = 1.03  # of memory, from the first third to the last


@dataclass(frozen=True)
class _Sample:
    """What the site holds at one moment."""

    mib: float
    threads: int
    descriptors: int
    files: int


def run(minutes: float) -> None:
    """Print what the site holds ten times; exit with 1 if memory, threads, descriptors or files have grown."""
    with collecting() as traces, running(**_settings(traces)) as site:
        cookie = site.sign_in()
        with _talking(site, cookie) as talk:
            _fill_pools(site, cookie)
            _request_all(site, cookie)
            samples = []
            for sample in _sample(site, cookie, minutes):
                samples.append(sample)
                if talk.done():
                    break  # its connections were lost: the block's end raises the reason
    grown = _compare(samples)
    sys.exit(f"grown: {', '.join(grown)}" if grown else 0)


def _settings(traces: str) -> dict[str, str]:
    limits = ("CHAT", "HISTORY", "TOKEN", "STREAM", "WEBHOOK")
    return {
        "WEB_CONCURRENCY": "2",
        "GUNICORN_CMD_ARGS": "--max-requests=0",  # a worker that starts anew would hide what grows
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": traces,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
        "CHURCH_LIVE_PER_MEMBER": "1000",
        "CHURCH_LIVE_PER_ADDRESS": "100000",
        **{f"CHURCH_LIMIT_{name}": UNLIMITED for name in limits},
    }


# -- load -----------------------------------------------------------------------------------------------------------


def _fill_pools(site: WholeSite, cookie: str) -> None:
    """Make the workers open all connections to database and store that their pools may hold: they keep them."""
    for path in _SIGNED_IN * 4:
        drive(site.port, path, _EACH * _BURST // _CONNECTIONS, _BURST, browser_headers(cookie=cookie))


def _request_all(site: WholeSite, cookie: str) -> int:
    """Send a round of requests, each path several times; return how many."""
    for path in _PATHS:
        drive(site.port, path, _EACH, _CONNECTIONS, browser_headers(coding="gzip, br"))
    for path in _SIGNED_IN:
        drive(site.port, path, _EACH, _CONNECTIONS, browser_headers(coding="gzip, br", cookie=cookie))
    for path in _OTHERS:
        with suppress(urllib.error.HTTPError):
            site.get(path)
    with suppress(urllib.error.HTTPError):
        site.post("login", email="nobody@church.example", password="a password that is wrong")
    return _EACH * (len(_PATHS) + len(_SIGNED_IN)) + len(_OTHERS) + 1


@contextmanager
def _talking(site: WholeSite, cookie: str) -> Iterator[Future[None]]:
    """Keep live connections open during the block, which send a message each second and are sometimes opened anew.

    What it yields is done before the block ends only if the connections were lost.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        talk = pool.submit(_talk, site, cookie, stop)
        try:
            yield talk
        finally:
            stop.set()
            talk.result(60)


def _talk(site: WholeSite, cookie: str, stop: threading.Event) -> None:
    while not stop.is_set():
        crowd = Crowd(site.port, _CROWD, [site.fetch_access_token(cookie)])
        ends = time.monotonic() + _CROWD_SECONDS
        while time.monotonic() < ends:
            name = secrets.token_hex(8)
            crowd.sockets[0].sendall(frame(type="chat", room="public", client_id=name, message=f"{name} hello"))
            crowd.await_all(name.encode())
            if stop.wait(1):
                break
        crowd.close()


# -- what it holds --------------------------------------------------------------------------------------------------


def _sample(site: WholeSite, cookie: str, minutes: float) -> Iterator[_Sample]:
    """Send requests for ``minutes``; yield samples at equal distances, and print every sixth."""
    began, requests = time.monotonic(), 0
    for number in range(1, _SAMPLES + 1):
        while time.monotonic() < began + minutes * 60 * number / _SAMPLES:
            requests += _request_all(site, cookie)
        sample = _take_sample(site)
        if number % (_SAMPLES // 10) == 0:
            held = "  ".join(f"{field.name} {getattr(sample, field.name):7.1f}" for field in fields(sample))
            print(f"  {(time.monotonic() - began) / 60:5.1f} min: {held}  requests {requests}")
            print(
                f"             MiB by process: {'  '.join(f'{mib:.1f}' for mib in site.memory().values())}", flush=True
            )
        yield sample


def _take_sample(site: WholeSite) -> _Sample:
    threads = descriptors = 0
    for pid in site.processes():
        with suppress(OSError):
            threads += len(list(Path(f"/proc/{pid}/task").iterdir()))
            descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    files = sum(1 for path in site.instance.parent.rglob("*") if path.is_file())
    return _Sample(sum(site.memory().values()), threads, descriptors, files)


def _compare(samples: list[_Sample]) -> list[str]:
    """Print the medians of the first and the last third; name what has grown."""
    third = len(samples) // 3
    grown = []
    for field in fields(_Sample):
        first = statistics.median(getattr(one, field.name) for one in samples[:third])
        last = statistics.median(getattr(one, field.name) for one in samples[-third:])
        print(f"  {field.name:11} first third {first:8.1f}, last third {last:8.1f}: {last / first:.3f}")
        if last > first * _MOST_GROWTH:
            grown.append(field.name)
    return grown
