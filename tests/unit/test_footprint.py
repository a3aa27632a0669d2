"""ops.footprint: which files of church/ a request enters."""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ops.footprint import CHURCH, record_files

TOY = {
    "__init__.py": "",
    "first.py": "from toy import second\ndef run():\n    return second.run() + list(map(lambda item: item, [0]))\n",
    "second.py": "class Kept:\n    at = [item for item in (1, 2)]\ndef run():\n    return Kept.at\n",
    "imported.py": "VALUE = 1\nclass Made:\n    value = VALUE\ndef never():\n    return 1\n",
    "importing.py": "def run():\n    from toy import imported\n    return imported.VALUE\n",
    "threaded.py": "def run():\n    return 1\n",
    "left/out.py": "def run():\n    return 1\n",
}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of small modules."""
    for name, text in TOY.items():
        path = tmp_path / "toy" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / "toy"


def test_recorder_lists_files_in_order_of_their_first_call(toy: Path) -> None:
    first = importlib.import_module("toy.first")
    with record_files(toy) as recorder:
        assert recorder.entered(first.run) == ["first.py", "second.py"]
        assert recorder.entered(lambda: None) == []


def test_recorder_import_alone_does_not_count(toy: Path) -> None:
    importing = importlib.import_module("toy.importing")
    with record_files(toy) as recorder:
        assert recorder.entered(importing.run) == ["importing.py"]


def test_recorder_counts_threads_and_leaves_folders_out(toy: Path) -> None:
    threaded, out = importlib.import_module("toy.threaded"), importlib.import_module("toy.left.out")

    def act() -> None:
        thread = threading.Thread(target=threaded.run)
        thread.start()
        thread.join()
        out.run()

    with record_files(toy, ("left",)) as recorder:
        assert recorder.entered(act) == ["threaded.py"]
    with record_files(toy, ()) as recorder:
        assert recorder.entered(act) == ["threaded.py", "left/out.py"]


def test_footprint_of_home_has_hooks_of_every_request_and_no_other_view(app: Flask, client: FlaskClient) -> None:
    client.get("/")
    with record_files() as recorder:
        files = recorder.entered(lambda: client.get("/"))
    hooks = {_file(hook) for hook in (*app.before_request_funcs[None], *app.after_request_funcs[None])}
    of_church = {path.relative_to(CHURCH).as_posix() for path in CHURCH.rglob("*.py")} & hooks
    assert len(of_church) > 3
    assert of_church <= set(files)
    assert _file(app.view_functions["markdown.home"]) in files
    assert _file(app.view_functions["stripe.webhook"]) not in files


def _file(function: Any) -> str:
    """Return the file of a function, relative to church/ if it is inside."""
    if isinstance(function, partial):
        function = function.func
    return inspect.getfile(inspect.unwrap(function)).removeprefix(f"{CHURCH}/")
