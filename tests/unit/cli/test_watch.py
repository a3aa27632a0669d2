"""``flask church logs``, ``errors`` and ``top``, with a stand-in for the store and with none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.cli import ScriptInfo

from church.cli import church, log_files
from church.cli.log_files import Filters
from church.config import Settings
from tests.support.store_stand_in import StoreStandIn, running_stand_in

NOW = int(datetime.now(UTC).timestamp() * 1_000_000)
Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``flask church …`` in a process that must not load the site."""
    monkeypatch.setenv("CHURCH_INSTANCE", str(settings.instance))
    monkeypatch.setenv("CHURCH_LOG_DIR", str(settings.log_dir))

    def invoke(*words: str) -> Result:
        info = ScriptInfo(create_app=lambda: pytest.fail("the command loads the site"))
        return CliRunner().invoke(church, list(words), obj=info)

    return invoke


@pytest.fixture
def store(settings: Settings) -> Iterator[StoreStandIn]:
    with running_stand_in(settings.instance) as stand_in:
        yield stand_in


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {"ts": NOW + number, "seq": number, "level": "INFO", "message": f"record {number}", **fields}


def write_log(settings: Settings, *lines: dict[str, Any] | str) -> Path:
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    path = settings.log_dir / "combined.log"
    at = datetime.now(UTC).isoformat()
    with path.open("a") as file:
        for line in lines:
            file.write(line if isinstance(line, str) else json.dumps({"timestamp": at, **line}) + "\n")
    return path


def test_logs_are_printed_newest_last(run: Run, store: StoreStandIn) -> None:
    store.give("logs.search", record(2, level="ERROR", exception="Traceback\n  failed\n"), record(1, status=200))
    begun = int(datetime.now(UTC).timestamp() * 1_000_000)
    done = run("logs", "--level", "error", "--grep", "rec", "--lines", "5", "--since", "2h")
    ended = int(datetime.now(UTC).timestamp() * 1_000_000)
    assert done.exit_code == 0
    first, second, *trace = done.stdout.splitlines()
    assert first.endswith("record 1 status=200")
    assert "ERROR" in second
    assert trace == ["Traceback", "  failed"]
    asked = store.args_of("logs.search")
    assert (asked["filters"], asked["limit"]) == ({"level": "ERROR", "text": "rec"}, 5)
    assert begun // 1_000_000 <= asked["from"] // 1_000_000 + 7200 <= ended // 1_000_000


def test_logs_as_json_are_the_rows(run: Run, store: StoreStandIn) -> None:
    store.give("logs.search", record(1, route=None))
    assert json.loads(run("logs", "--json").stdout) == record(1)


def test_logs_never_obey_what_a_record_says_to_the_terminal(run: Run, store: StoreStandIn) -> None:
    store.give("logs.search", record(1, message="\x1b[2J\u202egone\n2026 INFO fake", exception="\x1b]0;title\x07"))
    output = run("logs").stdout
    assert not {"\x1b", "\u202e", "\x07"} & set(output)
    assert "\\x1b[2J\\x202egone\\x0a2026 INFO fake" in output


def test_logs_of_a_request_show_records_traces_and_errors(run: Run, store: StoreStandIn) -> None:
    trace = {"table": "traces", "ts": NOW + 1, "seq": 1, "request_id": "r1", "name": "GET /x", "outcome": "failed"}
    store.give("requests.find", trace, record(2, table="logs", request_id="r1"))
    lines = run("logs", "--request", "r1").stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["TRACES", "INFO"]
    assert "GET /x failed" in lines[0]
    assert store.args_of("requests.find") == {"request_id": "r1"}


def test_logs_follow_asks_for_what_came_after(run: Run, store: StoreStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    store.give("logs.tail", record(5))
    store.give("logs.search", record(5))

    def pause(_seconds: float) -> None:
        if len(store.asked) > 3:
            raise KeyboardInterrupt
        store.give("logs.tail", record(7), record(6))

    monkeypatch.setattr("church.cli.watch.time.sleep", pause)
    done = run("logs", "--follow")
    assert [line.rsplit(maxsplit=1)[1] for line in done.stdout.splitlines()[:3]] == ["5", "7", "6"]
    tails = [asked["args"].get("after") for asked in store.asked if asked["query"] == "logs.tail"]
    assert tails == [None, {"ts": NOW + 5, "seq": 5}, {"ts": NOW + 7, "seq": 7}]


@pytest.mark.parametrize("words", [["--since", "soon"], ["--request", "a", "--follow"], ["--lines", "0"]])
def test_logs_with_wrong_options_say_what_to_give(run: Run, words: list[str]) -> None:
    done = run("logs", *words)
    assert (done.exit_code, "Error:" in done.stderr) == (2, True)


def test_logs_without_the_store_are_read_from_the_file(run: Run, settings: Settings) -> None:
    write_log(
        settings,
        {"level": "INFO", "message": "one"},
        {"severity_text": "ERROR", "body": "two HERE", "event_name": "a.b"},
        "torn {\n",
        {"level": "ERROR", "message": "three here", "request_id": "r1"},
        '{"timestamp": "2026-',
    )
    done = run("logs", "--level", "error", "--grep", "here")
    assert "not running" in done.stderr
    assert [line.rpartition("  ")[2].strip() for line in done.stdout.splitlines()] == [
        "two HERE",
        "three here request_id=r1",
    ]
    assert len(run("logs", "--request", "r1").stdout.splitlines()) == 1
    assert len(run("logs", "--lines", "1").stdout.splitlines()) == 1


def test_logs_without_store_and_file_say_so(run: Run) -> None:
    done = run("logs")
    assert (done.exit_code, "No such file" in done.stderr) == (1, True)


def test_file_is_followed_through_rotation(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "_PAUSE", 0.01)
    path = write_log(settings, {"message": "before"})
    records = log_files.follow(path, Filters())
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(record["message"] for record in islice(records, 3)))
    opened = threading.Event()
    monkeypatch.setattr(log_files, "_was_rotated", _noting(log_files._was_rotated, opened))
    reader.start()
    assert opened.wait(10)
    write_log(settings, {"message": "one"}, '{"timestamp": "2026-11-30T00:00:00Z", "mess')
    write_log(settings, 'age": "two"}\n')
    path.rename(path.with_name("combined.log.1"))
    write_log(settings, {"message": "three"})
    reader.join(10)
    records.close()
    assert found == ["one", "two", "three"]


def _noting(check: Callable[..., bool], called: threading.Event) -> Callable[..., bool]:
    def noted(*args: Any) -> bool:
        called.set()
        return check(*args)

    return noted


def test_errors_are_listed_with_class_place_and_count(run: Run, store: StoreStandIn) -> None:
    group = {
        "last": NOW,
        "count": 7,
        "members": 2,
        "error_type": "KeyError",
        "place": "church/x.py:f",
        "message": "'a'",
    }
    store.give("errors.groups", group)
    output = run("errors").stdout
    assert "7     2 members  KeyError in church/x.py:f\n  'a'\n" in output
    assert json.loads(run("errors", "--json").stdout) == group


@pytest.mark.parametrize(
    ("by", "first"), [("time", "/slow"), ("cpu", "/busy"), ("errors", "/bad"), ("requests", "/much")]
)
def test_top_lists_the_routes_that_take_most(run: Run, store: StoreStandIn, by: str, first: str) -> None:
    usual = {"method": "GET", "errors_4xx": 0, "errors_5xx": 0, "p50": 1.0, "p99": None, "cpu_ms": None, "count": 1}
    store.give(
        "routes.summary",
        {**usual, "route": "/much", "duration_ms": 5.0, "count": 900},
        {**usual, "route": "/slow", "duration_ms": 9000.0},
        {**usual, "route": "/busy", "duration_ms": 6.0, "cpu_ms": 800.0},
        {**usual, "route": "/bad", "duration_ms": None, "errors_5xx": 3},
    )
    lines = run("top", "--by", by).stdout.splitlines()
    assert lines[1].endswith(f"GET {first}")
    assert len(lines) == 5


@pytest.mark.parametrize("command", ["errors", "top"])
def test_without_the_store_a_command_says_how_to_start_it(run: Run, command: str) -> None:
    done = run(command)
    assert (done.exit_code, "flask church observe" in done.stderr) == (1, True)
