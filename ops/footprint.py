"""Count the files of church/ that a request enters: ``python -m ops.footprint``.

A file counts when at least one of its functions, lambdas or comprehensions runs. Bodies of modules and classes do not
count: they run at import. Each request is sent twice and the second one is counted, because the first one also imports
modules and fills caches.

The app runs in this process. The store and the test till run as separate processes, so that calls to Stripe use HTTP.
What gunicorn and its worker do before they call the app is not counted.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from church import create_app, telemetry
from church.extensions import db
from ops.bench.server import ROOT, Instance, free_port, instance
from ops.bench.webhooks import add_members, ask_till, signed, start_till, subscribe

CHURCH = ROOT / "church"
LEFT_OUT = ("till", "migrations", "database/migrations")
"""Folders of church/ that are not counted: the till is a separate app, and migrations run only in upgrades."""
DOMAIN = ("blueprints", "services", "models")


class Recorder:
    """Records which files of a folder are entered, by this thread and all that start later."""

    def __init__(self, folder: Path, left_out: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._left_out = tuple(folder / name for name in left_out)
        self._names: dict[str, str | None] = {}
        self._entered: dict[str, None] | None = None

    def install(self) -> None:
        """Watch this thread and those that start from now on; with Python 3.12 and later also running ones."""
        getattr(threading, "setprofile_all_threads", threading.setprofile)(self._note)
        sys.setprofile(self._note)

    def remove(self) -> None:
        """Stop watching."""
        getattr(threading, "setprofile_all_threads", threading.setprofile)(None)
        sys.setprofile(None)

    def entered(self, act: Callable[[], object]) -> list[str]:
        """Run ``act`` and list the files it enters, in the order of their first function call."""
        self._entered = {}
        try:
            act()
            return list(self._entered)
        finally:
            self._entered = None

    def _note(self, frame: FrameType, event: str, _arg: Any) -> None:
        entered = self._entered
        if entered is None or event != "call":
            return
        code = frame.f_code
        if not code.co_flags & inspect.CO_OPTIMIZED:
            return  # the body of a module or a class
        if code.co_filename not in self._names:
            self._names[code.co_filename] = self._name(Path(code.co_filename))
        if (name := self._names[code.co_filename]) is not None:
            entered.setdefault(name)

    def _name(self, path: Path) -> str | None:
        if not path.is_relative_to(self._folder) or any(map(path.is_relative_to, self._left_out)):
            return None
        return path.relative_to(self._folder).as_posix()


@contextmanager
def record_files(folder: Path = CHURCH, left_out: tuple[str, ...] = LEFT_OUT) -> Iterator[Recorder]:
    """Install a recorder for a block."""
    recorder = Recorder(folder, left_out)
    recorder.install()
    try:
        yield recorder
    finally:
        recorder.remove()


def measure() -> dict[str, list[str]]:
    """List the files that each kind of request enters, in the order of their first function call."""
    with instance(CHURCH_TILL_BIND=f"127.0.0.1:{free_port()}") as site, record_files() as recorder:
        start_till(site)
        first, second = _paid_invoices(site)
        with _app_of(site) as app:
            client = app.test_client()
            _deliver(site, client, first)
            webhook = recorder.entered(lambda: _deliver(site, client, second))
            _open_home(client)
            home = recorder.entered(lambda: _open_home(client))
        return {"webhook invoice.paid": webhook, "home page /": home}


@contextmanager
def _app_of(site: Instance) -> Iterator[Flask]:
    """Create the app in this process, with metrics and logs like a worker."""
    telemetry.start_process(site.settings, "web")
    app = create_app(site.settings)
    try:
        yield app
    finally:
        with app.app_context():
            db.dispose()
        telemetry.end_process()


def _paid_invoices(site: Instance) -> list[bytes]:
    """Subscribe two members and return Stripe's events of their first payments."""
    for ref in add_members(site, 2):
        subscribe(site, ref)
    events = ask_till(site, "/v1/events?limit=100")["data"]
    return [json.dumps(event).encode() for event in events if event["type"] == "invoice.paid"]


def _deliver(site: Instance, client: FlaskClient, body: bytes) -> None:
    request = signed(site, body)
    with closing(client.post(request.selector, data=body, headers=dict(request.header_items()))) as answer:
        if answer.json is None or answer.json["status"] != "processed":
            raise RuntimeError(f"the webhook returned {answer.status}: {answer.text}")


def _open_home(client: FlaskClient) -> None:
    with closing(client.get("/")) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"the home page returned {answer.status}: {answer.text}")


def main() -> None:
    """Print how many files each kind of request enters; with ``--list`` also their names."""
    parser = argparse.ArgumentParser(prog="python -m ops.footprint", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--list", action="store_true", help="list the files, in the order of their first call")
    options = parser.parse_args()
    for request, files in measure().items():
        domain = sum(name.startswith(tuple(f"{folder}/" for folder in DOMAIN)) for name in files)
        print(f"{request}: {domain} files of {', '.join(DOMAIN[:-1])} and {DOMAIN[-1]}; {len(files)} of church/ in all")
        if options.list:
            print(*(f"  {name}" for name in files), sep="\n")


if __name__ == "__main__":
    main()
