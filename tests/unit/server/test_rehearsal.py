"""The rehearsal before the fork: it warms the code, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from church import create_app
from church.extensions import db
from church.server import prepare
from tests.support.databases import bring_to_head
from tests.support.services_fixture import site_settings

ROOT = Path(__file__).resolve().parents[3]

HEAVY = (
    *("alembic", "mako", "stripe", "requests", "urllib3", "jwt", "cryptography.x509", "boto3", "psycopg"),
    *("opentelemetry.sdk.metrics", "opentelemetry.exporter", "opentelemetry.instrumentation"),
    *("markdown", "pygments", "nh3", "zxcvbn"),
)
# imported where they are used: by few pages, few sites, or one process of several

REHEARSE = f"""
HEAVY = {HEAVY}
import glob, json, logging, os, sys, threading, types
events = []
network = {{"socket.connect", "socket.getaddrinfo", "socket.sendto"}}
sys.addaudithook(lambda event, args: events.append(event) if event in network else None)
start = threading.Thread.start
threads = []
threading.Thread.start = lambda self: (threads.append(self.name), start(self))
from church import create_app, telemetry
from church.extensions import db, store
from church.observability.metrics import client_internals, definitions, worker_files
from church.observability import request_observer
from church.server import rehearsal
from church.web import answer_cache, rate_limits
class Lines(logging.Handler):
    def emit(self, record): lines.append(record.getMessage())
lines = []
logging.getLogger().addHandler(Lines())
logging.getLogger().setLevel("DEBUG")
app = create_app()
statuses = {{}}
ask = rehearsal._ask
def noted(app, path, **options):
    body = ask(app, path, **options)
    statuses[path] = bool(body)
    return body
rehearsal._ask = noted
def count_view():  # as a worker does for a page that was rehearsed; returns what /metrics has of it
    telemetry.track_content_access("page", "public", "granted")
    labels = {{"content_type": "page", "access_level": "public", "outcome": "granted"}}
    return definitions.CATALOGUE.get_sample_value("content_access_total", labels)
series = client_internals.list_children(definitions.CATALOGUE)
hooks = list(app.before_request_funcs[None])
heavy = [name for name in HEAVY if name in sys.modules]
lines.clear()
rehearsal.rehearse(app)
counters = rate_limits._counters(app)
answers = answer_cache.answers_of(app)
app.extensions["pages"] = types.SimpleNamespace(version=lambda: "of the pages after the fork")
print(json.dumps({{
    "heavy": heavy,
    "network": events,
    "threads": threads,
    "lines": list(lines),
    "counted": [v._key for v, number in worker_files.SlotValue.list_counts() if number],
    "series": client_internals.list_children(definitions.CATALOGUE) == series,
    "slot": worker_files.SLOTS.number,
    "limits": counters._windows,
    "hooks": app.before_request_funcs[None] == hooks,
    "observed": request_observer.current.get() is None,
    "connections": app.extensions["database"]().engines is None or [
        engine.pool.checkedin() for engine in app.extensions["database"]().engines.distinct
    ],
    "store": not app.extensions["church_store"]._client.is_made,
    "views": count_view(),
    "files": [name for name in map(os.path.realpath, glob.glob("/proc/self/fd/*")) if ".db" in name],
    "pages": answers.begin(answer_cache.Key("/", "br")).marks["pages"],
    "answered": [path for path, answered in statuses.items() if answered],
}}))
"""


def rehearse(folder: Path, **extra: str) -> dict[str, object]:
    """Rehearse the site in a process of its own, and return what is left."""
    environment = {
        "CHURCH_ENV_FILE": "",
        "CHURCH_INSTANCE": str(folder / "instance"),
        "CHURCH_LOG_DIR": str(folder / "logs"),
        "CHURCH_CONTENT": str(folder / "content"),
        **extra,
    }
    command = [sys.executable, "-c", REHEARSE]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


NOTHING = {
    "network": [],
    "threads": [],
    "lines": [],
    "counted": [],
    "series": True,
    "slot": None,
    "limits": {},
    "hooks": True,
    "observed": True,
    "store": True,
    "views": 1.0,
    "files": [],
    "pages": "of the pages after the fork",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    page = "---\ntitle: One\nsummary: s\ndate: 2026-01-01\naccess: public\n---\nSome *text*.\n"
    (tmp_path / "content/one.md").write_text(page)
    (tmp_path / "content/bad.md").write_text("---\nsummary: no title\n---\n")
    return tmp_path


def test_rehearsal_opens_the_common_pages_and_leaves_nothing(folder: Path) -> None:
    settings = site_settings(folder)
    bring_to_head(settings)
    app = create_app(settings)
    prepare.index_pages(app)
    with app.app_context():
        db.dispose()
    left = rehearse(folder)
    assert {name: left[name] for name in NOTHING} == NOTHING
    assert left["connections"] in (True, [0, 0])
    assert {"/", "/pages/", "/pages/one", "/auth/login", "/feed.xml"} <= set(left["answered"])  # type: ignore[call-overload]


def test_site_before_its_first_request_has_imported_nothing_heavy(folder: Path) -> None:
    assert rehearse(folder)["heavy"] == []


@pytest.mark.parametrize(
    "extra",
    [
        {},  # no database yet
        {"DATABASE_URL": "postgresql://church@192.0.2.1/church"},
        {"CHURCH_CONTENT": "/nowhere/at/all"},
    ],
)
def test_rehearsal_without_a_usable_site_ends_silently(folder: Path, extra: dict[str, str]) -> None:
    left = rehearse(folder, **extra)
    assert {name: left[name] for name in NOTHING} == NOTHING
