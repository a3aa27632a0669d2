"""Benchmark video streams: CPU compared with nginx for the same file, and the effect on other requests."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

from flask import Flask

from church.extensions import db
from church.models import Rendition, Video
from church.models.base import utc_now
from ops.bench.client import drive, percentile
from ops.bench.server import UNLIMITED, Server, free_port, serving
from ops.processes import list_children

GIB = 1 << 30
_RANGES = 4  # range requests that fetch one gibibyte, like a player that seeks
_THROTTLED, _THROTTLED_RATE = 50, 640_000  # players, and bytes per second of each: five megabits
_SLOW, _SLOW_RATE = 200, 1_000
_SLOW_SECONDS = 20.0
_NGINX = """
{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{}}
http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""

Target = tuple[int, str, Callable[[], float]]
"""A server of the video: its port, the path of the video, and a function for the CPU seconds of its workers."""


def measure(rounds: int, requests: int) -> dict[str, float]:
    """Return all ratios by name; none if nginx is not installed."""
    if shutil.which("nginx") is None:
        print("  skipped: nginx is not installed")
        return {}
    limits = {
        "CHURCH_LIMIT_STREAM": UNLIMITED,
        "CHURCH_LIMIT_VIDEO": UNLIMITED,
        "CHURCH_CONNECTIONS_PER_ADDRESS": "100000",
    }
    with tempfile.TemporaryDirectory(prefix="church-film-") as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(serving(CHURCH_VIDEO_DIR=str(folder), **limits))
        path = _add_video(server, folder)
        port, cpu = stack.enter_context(_nginx(folder))
        address = json.loads(server.get("/video/access/film"))["url"]
        ours, theirs = (server.port, address, server.cpu), (port, f"/{path.relative_to(folder)}", cpu)
        whole, ranges = [""], _range_headers()
        return {
            "video_full_cpu": _compare_cpu("the whole file", rounds, ours, theirs, whole),
            "video_range_cpu": _compare_cpu(f"{_RANGES} ranges", rounds, ours, theirs, ranges),
            "video_health_p99_full_speed": _health(server, rounds, requests, address, 2, None),
            "video_health_p99_throttled": _health(server, rounds, requests, address, _THROTTLED, _THROTTLED_RATE),
            "video_memory_200": _memory(server, address),
        }


def _add_video(server: Server, folder: Path) -> Path:
    """Add a public video whose file is one gibibyte of random bytes; return its path."""
    ref = secrets.token_hex(8)
    (folder / ref).mkdir()
    path = folder / ref / "720p.mp4"
    block = os.urandom(1 << 24)
    with path.open("wb") as file:
        for _ in range(GIB // len(block)):
            file.write(block)
    app = Flask("bench")
    app.config["CHURCH"] = server.settings
    db.init_app(app)
    now = utc_now()
    with app.app_context(), db.write() as session:
        video = Video(
            ref=ref, slug="film", title="Film", description="", access_level="public", state="ready", progress=100,
            source_name="film", source_bytes=GIB, duration_ms=1, width=1280, height=720, created_at=now,
            published_at=now,
        )  # fmt: skip
        session.add(video)
        session.flush()
        facts = {"file": path.name, "bytes": GIB, "width": 1280, "height": 720, "bitrate": 1, "etag": "film"}
        session.add(Rendition(video_id=video.id, quality="720p", **facts))
    return path


@contextmanager
def _nginx(folder: Path) -> Iterator[tuple[int, Callable[[], float]]]:
    """Run nginx with one worker that serves ``folder``; give its port and a function for its CPU seconds."""
    port, user = free_port(), "user root;\n" if os.geteuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(_NGINX.format(folder=folder, port=port, user=user))
    process = subprocess.Popen(["nginx", "-c", main, "-p", folder])
    try:
        yield port, lambda: _worker_cpu(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _worker_cpu(master: int) -> float:
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 for pid in list_children(master))


def _range_headers() -> list[str]:
    size = GIB // _RANGES
    return [f"Range: bytes={start}-{start + size - 1}\r\n" for start in range(0, GIB, size)]


def _compare_cpu(label: str, rounds: int, ours: Target, theirs: Target, headers: list[str]) -> float:
    """Return the CPU of our worker for a gibibyte over the CPU of nginx's; the median of alternating rounds."""
    costs: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        pair = []
        for port, path, cpu in (ours, theirs):
            before = cpu()
            for header in headers:
                _download(port, path, header)
            pair.append(cpu() - before)
        if number:  # the first warms up
            costs.append((pair[0], pair[1]))
    for name, index in (("the site", 0), ("nginx", 1)):
        print(f"  {label}, {name}: {statistics.median(cost[index] for cost in costs):.3f} s of CPU per GiB")
    return statistics.median(site / nginx for site, nginx in costs)


def _open(port: int, path: str, header: str = "", buffer: int = 0) -> tuple[socket.socket, int]:
    """Send a request, read the head of the response, and return the socket and the length of the body."""
    reader = socket.socket()
    reader.settimeout(60)
    if buffer:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    reader.connect(("127.0.0.1", port))
    reader.sendall(f"GET {path} HTTP/1.1\r\nHost: church.example\r\n{header}\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += reader.recv(1)
    if head.split()[1] not in {b"200", b"206"}:
        raise RuntimeError(head.decode(errors="replace"))
    return reader, int(head.lower().partition(b"content-length:")[2].split()[0])


def _download(port: int, path: str, header: str = "") -> None:
    """Read a response and discard it in the kernel, so that the reader does not slow the sender."""
    reader, left = _open(port, path, header)
    with reader:
        scratch = bytearray(1 << 20)
        while left:
            count = reader.recv_into(scratch, min(left, len(scratch)), socket.MSG_TRUNC)
            if not count:
                raise RuntimeError(f"{left} bytes are missing")
            left -= count


def _readers(port: int, path: str, count: int, rate: int | None, ready: Event, stop: Event) -> None:
    """Act as ``count`` players until ``stop``: at full speed, or each at ``rate`` bytes per second."""
    os.nice(10)  # the measuring process goes first
    if rate is None:
        ready.set()
        while not stop.is_set():
            _download(port, path)
        return
    buffer = 16_384 if rate < 100_000 else 262_144
    players = [_open(port, path, "", buffer)[0] for _ in range(count)]
    for player in players:
        player.setblocking(False)
    ready.set()
    tick = max(0.05, 1000 / rate / 4)
    scratch = bytearray(int(rate * tick) + 1)
    while not stop.wait(tick):
        for player in players:
            try:
                player.recv_into(scratch, len(scratch), socket.MSG_TRUNC)
            except BlockingIOError:
                continue


@contextmanager
def _players(port: int, path: str, count: int, rate: int | None) -> Iterator[None]:
    """Run ``count`` players during the block: one process for each at full speed, otherwise one for all."""
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    shares = [1] * count if rate is None else [count]
    started = [context.Event() for _ in shares]
    players = [
        context.Process(target=_readers, args=(port, path, share, rate, ready, stop), daemon=True)
        for share, ready in zip(shares, started, strict=True)
    ]
    for player in players:
        player.start()
    try:
        for ready in started:
            if not ready.wait(60):
                raise TimeoutError("the players did not start")
        yield
    finally:
        stop.set()
        for player in players:
            player.join(60)


def _health(server: Server, rounds: int, requests: int, path: str, count: int, rate: int | None) -> float:
    """Return p99 of /health with ``count`` players over idle p99; the median of alternating rounds."""
    drive(server.port, "/health", requests // 2, 1)
    pairs = []
    for _ in range(rounds):
        idle = percentile(drive(server.port, "/health", requests, 1), 0.99)
        with _players(server.port, path, count, rate):
            busy = percentile(drive(server.port, "/health", requests, 1), 0.99)
        pairs.append((idle, busy))
    idle, busy = (statistics.median(pair[index] for pair in pairs) * 1e3 for index in (0, 1))
    speed = "at full speed" if rate is None else f"of {rate // 1000} kB/s"
    print(f"  /health: p99 {idle:.2f} ms idle, {busy:.2f} ms beside {count} streams {speed}")
    return statistics.median(busy / idle for idle, busy in pairs)


def _memory(server: Server, path: str) -> float:
    """Return the memory of the worker after 20 s with 200 slow players over the memory when they started."""
    idle = server.memory()
    with _players(server.port, path, _SLOW, _SLOW_RATE):
        first = server.memory()
        time.sleep(_SLOW_SECONDS)
        last = server.memory()
    print(f"  {_SLOW} players: {idle >> 20} MiB idle, {first >> 20} MiB at first, {last >> 20} MiB in the end")
    return last / first
