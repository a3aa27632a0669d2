"""Under gevent, other greenlets of a worker run while a writer waits for SQLite's lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.databases import bring_to_head
from tests.support.services_fixture import site_settings

_PROGRAM = """
from gevent import monkey
monkey.patch_all()
import gevent, json, sqlite3, time
from flask import Flask
from sqlalchemy import text
from church.config import load_settings
from church import database
from church.database import Database

settings = load_settings()
app = Flask("test")
app.config["CHURCH"] = settings
db = Database()
db.init_app(app)
database.WRITE_WAIT = 60.0
ticks, inside, seen = 0, 0, []

def tick():
    global ticks
    while True:
        gevent.sleep(0.001)
        ticks += 1

def write(number):
    global inside
    with app.app_context(), db.write() as session:
        inside += 1
        seen.append(inside)
        session.execute(text("INSERT INTO schedules (kind, every_seconds, next_at) VALUES (:k, 1, 'x')"), {"k": number})
        inside -= 1

ticker = gevent.spawn(tick)
other = sqlite3.connect(settings.instance / "church.db", isolation_level=None)
other.execute("BEGIN IMMEDIATE")
writers = [gevent.spawn(write, str(n)) for n in range(5)]
# If SQLite itself waited for the lock, there would be an error and no tick at all.
with gevent.Timeout(50):
    while ticks <= 20:
        gevent.sleep(0.001)
waited = ticks
other.execute("COMMIT")
gevent.joinall(writers, raise_error=True)
ticker.kill()
print(json.dumps({"ticks": waited, "most_inside": max(seen), "written": len(seen)}))
"""


@pytest.fixture
def result(tmp_path: Path) -> dict[str, int]:
    site = site_settings(tmp_path)
    bring_to_head(site)
    environment = {**os.environ, "CHURCH_INSTANCE": str(site.instance), "DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_writers_waiting_do_not_block_the_worker_and_go_one_by_one(result: dict[str, int]) -> None:
    assert result["ticks"] > 20
    assert (result["most_inside"], result["written"]) == (1, 5)
