"""A worker process with test jobs, like ``flask church work``: ``python -m tests.support.worker_process FOLDER NAME``.

``test.hold`` writes a line to FOLDER/started, waits until FOLDER/go exists, and writes a line to FOLDER/finished.
``test.heavy`` does the same as a heavy job. ``test.break`` raises. ``test.exit`` kills its process.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from flask import Flask

from church import jobs
from church.config import load_settings
from church.extensions import db

folder, name = Path(sys.argv[1]), sys.argv[2]


def note(what: str, payload: dict[str, Any]) -> None:
    with (folder / what).open("a") as file:
        file.write(f"{name} {payload.get('n')}\n")


@jobs.handler("test.hold")
def hold(payload: dict[str, Any]) -> None:
    note("started", payload)
    while not (folder / "go").exists():
        time.sleep(0.02)
    note("finished", payload)


@jobs.handler("test.heavy", heavy=True)
def hold_heavily(payload: dict[str, Any]) -> None:
    hold(payload)


@jobs.handler("test.break")
def fail(payload: dict[str, Any]) -> None:
    note("started", payload)
    raise ValueError("it broke")


@jobs.handler("test.exit")
def end(payload: dict[str, Any]) -> None:
    note("started", payload)
    os._exit(9)


if __name__ == "__main__":
    app = Flask("worker")
    app.config["CHURCH"] = load_settings()
    db.init_app(app)
    jobs.run_worker(app)
