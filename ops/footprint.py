"""Count the files of church/ that a request runs through: ``python -m ops.footprint``.

A file counts when at least one of its functions, lambdas or comprehensions runs. The bodies of modules and classes do
not count: they run when something is imported. Each request is made twice, and the second is counted, when everything
that is loaded or kept at the first use is there.

The app runs in this process, with a store and the test till as processes beside it, so that Stripe is reached over
HTTP. What gunicorn and its worker do before the app is called is not counted.
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
"""Folders of church/ that are not counted: an app of its own, and what runs when the site is upgraded."""
DOMAIN = ("blueprints", "services", "models")


class Recorder:
    """Notes which files of a folder are entered, by all threads that start after it."""

    def __init__(self, folder: Path, left_out: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._left_out = tuple(folder / name for name in left_out)
        self._names: dict[str, str | None] = {}
        self._entered: dict[str, None] | None = None

    def install(self) -> None:
        """Watch this thread and those that start from now on; from Python 3.12 on, also those that run."""
        getattr(threading, "setprofile_all_threads", threading.setprofile)(self._note)
        sys.setprofile(self._note)

    def remove(self) -> None:
        """Stop watching."""
        getattr(threading, "setprofile_all_threads", threading.setprofile)(None)
        sys.setprofile(None)

    def entered(self, act: Callable[[], object]) -> list[str]:
        """Files that are entered while ``act`` runs, in the order of their first function call."""
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
def watching(folder: Path = CHURCH, left_out: tuple[str, ...] = LEFT_OUT) -> Iterator[Recorder]:
    """A recorder that is installed."""
    recorder = Recorder(folder, left_out)
    recorder.install()
    try:
        yield recorder
    finally:
        recorder.remove()


def measure() -> dict[str, list[str]]:
    """The files of each way, in the order of their first function call."""
    with instance(CHURCH_TILL_BIND=f"127.0.0.1:{free_port()}") as site, watching() as recorder:
        start_till(site)
        first, second = _paid_invoices(site)
        with _started(site) as app:
            client = app.test_client()
            _deliver(site, client, first)
            webhook = recorder.entered(lambda: _deliver(site, client, second))
            _open_home(client)
            home = recorder.entered(lambda: _open_home(client))
        return {"webhook invoice.paid": webhook, "home page /": home}


@contextmanager
def _started(site: Instance) -> Iterator[Flask]:
    """The app, in a process that counts and logs as a worker does."""
    telemetry.start_process(site.settings, "web")
    app = create_app(site.settings)
    try:
        yield app
    finally:
        with app.app_context():
            db.dispose()
        telemetry.end_process()


def _paid_invoices(site: Instance) -> list[bytes]:
    """Stripe's events of two members who have paid for the first time."""
    for ref in add_members(site, 2):
        subscribe(site, ref)
    events = [one for one in ask_till(site, "/v1/events?limit=100")["data"] if one["type"] == "invoice.paid"]
    return [json.dumps(event).encode() for event in events]


def _deliver(site: Instance, client: FlaskClient, body: bytes) -> None:
    request = signed(site, body)
    with closing(client.post(request.selector, data=body, headers=dict(request.header_items()))) as answer:
        if answer.json is None or answer.json["status"] != "processed":
            raise RuntimeError(f"the webhook was answered with {answer.status}: {answer.text}")


def _open_home(client: FlaskClient) -> None:
    with closing(client.get("/")) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"the home page was answered with {answer.status}: {answer.text}")


def main() -> None:
    """Print how many files each way enters, and with ``--list`` which."""
    options = argparse.ArgumentParser(prog="python -m ops.footprint", description=(__doc__ or "").partition(":")[0])
    options.add_argument("--list", action="store_true", help="name the files, in the order of their first call")
    chosen = options.parse_args()
    for way, files in measure().items():
        domain = sum(name.startswith(tuple(f"{folder}/" for folder in DOMAIN)) for name in files)
        print(f"{way}: {domain} files of {', '.join(DOMAIN[:-1])} and {DOMAIN[-1]}; {len(files)} of church/ in all")
        if chosen.list:
            print(*(f"  {name}" for name in files), sep="\n")


if __name__ == "__main__":
    main()
