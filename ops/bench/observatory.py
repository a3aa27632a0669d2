"""Benchmark the telemetry store: 30 days of log records, and what it costs to ask for them.

``python -m ops.bench.observatory --records 10000000``. The records are made by DuckDB itself, as segments of the size
that the store merges to. CPU is that of the query's thread in the engine's child, which DuckDB computes in.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb

from church.errors import ChurchError
from church.lib.local_servers import observatory_folder, observatory_socket
from church.services.telemetry_queries import ask
from church.telemetry_store.engine import Engine
from church.telemetry_store.retention import MOST_ROWS_MERGED
from church.telemetry_store.segments import FOLDER, SegmentInfo, segment_name, write_segment
from church.telemetry_store.server import QueryServer
from church.telemetry_store.store import Store
from church.telemetry_store.tables import TABLES

DAYS = 30
DAY = 86_400_000_000
END = 1_796_083_200_000_000  # microseconds, 2026-12-01
BEGIN = END - DAYS * DAY
RARE = "quorum lost by the seventh replica"
_ROUNDS = 3

_VALUES = {
    "host": "'web-1'",
    "level": "CASE WHEN h % 200 = 0 THEN 'ERROR' WHEN h % 50 = 1 THEN 'WARNING' ELSE 'INFO' END",
    "logger": "CASE WHEN access THEN 'church.access' ELSE 'church.jobs' END",
    "message": f"""CASE WHEN i % 1000003 = 17 THEN '{RARE}'
        WHEN access THEN method || ' ' || path_of || ' ' || status_of
        ELSE 'job done after ' || (h % 900) || ' ms, attempt ' || (h % 3) END""",
    "event": "CASE WHEN access THEN 'http.request' ELSE 'job.done' END",
    "request_id": "format('{:012x}{:012x}', ts // 1000, h % 281474976710656)",
    "trace_id": "md5(CAST(i AS VARCHAR))",
    "span_id": "format('{:016x}', h)",
    "user_ref": "CASE WHEN h % 5 = 0 THEN format('{:016x}', hash(h % 4000)) END",
    "method": "CASE WHEN access THEN method END",
    "route": "CASE WHEN access THEN route_of END",
    "status": "CASE WHEN access THEN status_of END",
    "duration_ms": "CASE WHEN access THEN exp(1 + (h % 1000) / 180) ELSE h % 900 END",
    "cpu_ms": "CASE WHEN access THEN 1 + (h % 300) / 100 END",
    "bytes": "CASE WHEN access THEN 400 + h % 60000 END",
    "path": "CASE WHEN access THEN path_of END",
    "ip": "CASE WHEN access THEN format('203.{}.{}.{}', h % 32, h // 32 % 200, h // 6400 % 250) END",
    "user_agent": "CASE WHEN access THEN ['Chrome', 'Firefox', 'Safari', 'Edge', 'bot', 'curl'][h % 6 + 1] END",
    "referrer_host": "CASE WHEN h % 9 = 0 THEN ['news.example', 'search.example', 'mail.example'][h % 3 + 1] END",
    "job_kind": "CASE WHEN NOT access THEN ['email.send', 'video.encode', 'pages.index'][h % 3 + 1] END",
    "version": "'1.4.' || (i // 700000)",
    "environment": "'production'",
    "exception": """CASE WHEN h % 200 = 0 THEN 'Traceback (most recent call last): File church/services/x.py, line '
        || (h % 400) || ', in send: ConnectionResetError: reset by peer ' || (h % 65536) END""",
    "error_type": "CASE WHEN h % 200 = 0 THEN 'ConnectionResetError' END",
    "fingerprint": "CASE WHEN h % 200 = 0 THEN format('{:016x}', hash(h % 40)) END",
    "extra": "CASE WHEN NOT access THEN '{\"attempt\": ' || (h % 3) || '}' END",
}


def make_records(folder: Path, records: int, json_days: int) -> tuple[list[SegmentInfo], Path]:
    """Write the segments, and the records of the last days as the log file that they would come from."""
    (folder / FOLDER).mkdir(parents=True)
    step = DAYS * DAY // records
    segments = []
    lines = folder / "combined.log"
    with duckdb.connect(config={"threads": 1}) as connection:
        for first in range(0, records, MOST_ROWS_MERGED):
            count = min(MOST_ROWS_MERGED, records - first)
            connection.execute(f"CREATE OR REPLACE TEMP TABLE made AS {_select(first, count, step)}")
            target = folder / FOLDER / segment_name("logs", BEGIN + first * step, first)
            segments.append(write_segment(connection, "logs", "made", target))
        names = [str(folder / FOLDER / segment.file) for segment in segments]
        connection.execute(
            f"COPY (SELECT * EXCLUDE (ts, seq, host), ts AS timestamp, 'church' AS service FROM read_parquet({names}) "
            f"WHERE ts >= {END - json_days * DAY}) TO '{lines}' (FORMAT json)"
        )
    return segments, lines


def _select(first: int, count: int, step: int) -> str:
    columns = ", ".join(
        name if name in {"ts", "seq"} else f"{_VALUES.get(name, 'NULL')} AS {name}" for name in TABLES["logs"].names
    )
    return f"""
        SELECT {columns} FROM (
            SELECT *, h % 10 < 8 AS access, ['GET', 'GET', 'GET', 'POST'][h % 4 + 1] AS method,
                '/route-' || CAST(sqrt(h % 3600) AS INTEGER) || '/<slug>' AS route_of,
                '/route-' || CAST(sqrt(h % 3600) AS INTEGER) || '/page-' || (h % 5000) AS path_of,
                CASE WHEN h % 200 = 0 THEN 500 WHEN h % 30 = 1 THEN 404 ELSE 200 END AS status_of
            FROM (SELECT i, {BEGIN} + i * {step} AS ts, i AS seq, CAST(hash(i) // 2 AS BIGINT) AS h
                  FROM range({first}, {first + count}) AS numbers(i)))"""


def measure(records: int, rounds: int = _ROUNDS, json_days: int = 1) -> dict[str, float]:
    """Measure each question and return the ratio of a search beside grep."""
    with tempfile.TemporaryDirectory() as name:
        settings = SimpleNamespace(instance=Path(name))
        folder = observatory_folder(settings.instance)
        begun = time.monotonic()
        segments, lines = make_records(folder, records, json_days)
        size = sum(segment.bytes for segment in segments)
        as_json = lines.stat().st_size * DAYS / json_days
        print(
            f"  {records:,} records in {len(segments)} segments, {size / 1e6:.0f} MB, as JSON {as_json / 1e6:.0f} MB "
            f"({as_json / size:.1f} times); made in {time.monotonic() - begun:.0f} s"
        )
        return _measure_questions(settings, folder, segments, lines, rounds, json_days)


def _measure_questions(
    settings: Any, folder: Path, segments: list[SegmentInfo], lines: Path, rounds: int, json_days: int
) -> dict[str, float]:
    store, engine = _open_store(folder, segments), Engine(folder)
    server = QueryServer(observatory_socket(settings.instance), store, engine, dict)
    server.start()
    everything = {"from": BEGIN, "to": END}
    day = {"from": END - DAY, "to": END}
    some = ask(settings, "logs.search", **{"from": BEGIN + 11 * DAY, "to": END - 12 * DAY, "limit": 1}).rows[0]
    some_id = some["request_id"]
    questions: dict[str, tuple[str, dict[str, Any]]] = {
        "newest logs": ("logs.search", {**everything, "limit": 100}),
        "newest errors": ("logs.search", {**everything, "limit": 100, "filters": {"level": "ERROR"}}),
        "a request's page": ("requests.find", {"request_id": some_id}),
        "a foreign id, not there": ("requests.find", {"request_id": "f" * 32}),
        "24 h by route": ("routes.summary", {**day, "exclude_admin": True}),
        "30 days by route": ("routes.summary", everything),
        "24 h counts": ("logs.counts", day),
        "24 h facets": ("logs.facets", day),
        "text, one day, not there": ("logs.search", {**day, "filters": {"text": "no such words"}}),
        "text, 30 days, not there": ("logs.search", {**everything, "filters": {"text": "no such words"}}),
        "text, 30 days, rare": ("logs.search", {**everything, "filters": {"text": RARE}}),
        "text, 30 days, frequent": ("logs.search", {**everything, "filters": {"text": "ConnectionReset"}}),
        "around one": ("logs.around", {"ts": some["ts"], "seq": some["seq"]}),
        "what is this id": ("ids.resolve", {"id": some_id}),
    }
    try:
        for what, (query, args) in questions.items():
            found = [_time(settings, query, args) for _ in range(rounds)]
            print(
                f"  {what}: {statistics.median(cpu for cpu, _, _ in found):.0f} ms of CPU, "
                f"{statistics.median(wall for _, wall, _ in found):.0f} ms until the end, {found[0][2]} rows"
            )
        status = Path(f"/proc/{engine.pid}/status").read_text()
        peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        print(f"  memory of the child at its peak: {int(peak) / 1024:.0f} MiB")
        return {"logs_search_vs_grep": _compare_with_grep(settings, lines, rounds, json_days)}
    finally:
        server.stop()
        engine.stop()


def _open_store(folder: Path, segments: list[SegmentInfo]) -> Store:
    """Open a store that names these segments."""
    hidden = folder / "hidden"
    (folder / FOLDER).rename(hidden)  # a new store removes what it does not know
    store = Store(folder)
    (folder / FOLDER).rmdir()
    hidden.rename(folder / FOLDER)
    store.replace([], segments)
    return Store(folder)


def _time(settings: Any, query: str, args: dict[str, Any]) -> tuple[float, float, int]:
    """Return the milliseconds of CPU and of waiting, and how many rows came; no figures for what was refused."""
    begun = time.monotonic()
    try:
        answer = ask(settings, query, **args)
    except ChurchError as error:
        print(f"  {error}")
        return float("nan"), (time.monotonic() - begun) * 1000, 0
    return answer.cpu_ms, (time.monotonic() - begun) * 1000, len(answer.rows)


def _compare_with_grep(settings: Any, lines: Path, rounds: int, days: int) -> float:
    """Return the CPU of a text search over that of GNU grep on the log file of the same records."""
    span = {"from": END - days * DAY, "to": END}
    searches, greps = [], []
    for _ in range(max(3, rounds)):
        searches.append(ask(settings, "logs.search", **span, filters={"text": RARE, "level": "INFO"}).cpu_ms)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(["grep", "-i", "-c", RARE, str(lines)], stdout=subprocess.DEVNULL, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        greps.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    search, grep = statistics.median(searches), statistics.median(greps)
    print(f"  a search of {days} days: {search:.0f} ms of CPU, GNU grep {grep:.0f} ms")
    return search / grep


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.observatory")
    parser.add_argument("--records", type=int, default=1_000_000, help="log records in 30 days")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="the median counts")
    parser.add_argument("--json-days", type=int, default=1, help="days of the log file for grep")
    options = parser.parse_args()
    for name, value in measure(options.records, options.rounds, options.json_days).items():
        print(f"RATIO {name} {value:.2f}")


if __name__ == "__main__":
    main()
