"""A bare Flask app: one view that returns what a page of the site returns, already compressed.

The folder ``CHURCH_BENCH_ANSWERS`` holds the bodies, and ``answers.json`` their headers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from flask import Flask, Response

from church.config import load_settings

app = Flask(__name__, static_folder=None)
app.config["CHURCH"] = load_settings()  # the worker asks whether it shall observe the app
_folder = Path(os.environ["CHURCH_BENCH_ANSWERS"])
_headers: dict[str, dict[str, str]] = json.loads((_folder / "answers.json").read_text())
_bodies = {name: (_folder / name).read_bytes() for name in _headers}


@app.get("/<name>")
def answer(name: str) -> Response:
    """Return the body that was kept under this name."""
    return Response(_bodies[name], headers=_headers[name])
