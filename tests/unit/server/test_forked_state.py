"""What the children of gunicorn's master take over with its app: code and constants, but no names and no state."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from church import create_app
from church.extensions import db
from church.server import prepare
from tests.support.databases import bring_to_head
from tests.support.services_fixture import site_settings

ROOT = Path(__file__).resolve().parents[3]

SHARED = {
    "answer_cache": "keeps nothing before a worker has its door",
    "assets": "looks at each file again after a second; its time is that of the code and the templates",
    "brand": "made from the settings, and never changed",
    "church_store": "its client is made by each process",
    "csrf_exempt": "names of endpoints",
    "kept_pages": "finds a page by everything that it is made of",
    "open_in_maintenance": "names of endpoints",
    "pages": "made anew after the rehearsal, and opens its files at the first use",
    "video_app": "the app itself",
}
"""What is in app.extensions as the master has made it, each with the reason why its children may share it."""

LEFT = {
    "church.web.maintenance._seen": "looked at again after a second",
    "church.observability.threats.scan_request._header_names": "from one spelling of a name to another",
}
"""What pages leave in modules, each with the reason why children may go on with it."""

CACHED = {
    "church.database.engines._parse_url",
    "church.database.migrations.head_revision",
    "church.database.migrations.known_revisions",
    "church.observability.threats.pattern_matcher.load_process_matcher",
    "church.observability.threats.scan_text._is_scanned_header",
    "church.observability.threats.scan_text._scan_path",
    "church.observability.threats.scan_text._scan_short",
    "church.observability.threats.scan_text._scan_shown",
    "church.observability.threats.scan_text.is_sensitive",
    "church.services.pages.clean_html._classes",
    "church.services.pages.clean_html._cleaner",
    "church.services.pages.render.load_renderer",
    "church.services.pages.strict_yaml.load_parser",
    "church.web.compression.choose_coding",
    "church.web.error_pages._weigh",
}
"""Functions whose cached results depend on their arguments and the code alone: not on the time, nor on an answer."""

SCRIPT = """
import gc, json, random, secrets, sys, tempfile, uuid
from collections import OrderedDict, deque
from church import create_app, telemetry
from church.lib.per_process import PerProcess, started_at
from church.live import hub_of
from church.observability.request_observer import Observation
from church.server import rehearsal
from church.web import csrf
from tests.support.forks import in_child

def look(value):
    if type(value).__name__ == "_lru_cache_wrapper":
        return "cache", value.cache_info().currsize
    if isinstance(value, (dict, list, set, deque)):
        return len(value)
    if type(value).__module__.startswith("church.") and hasattr(value, "__dict__"):
        return [(name, len(held) if isinstance(held, (dict, list, set, deque)) else id(held))
                for name, held in vars(value).items()]
    return id(value)

def look_at_modules():
    return {
        f"{module.__name__}.{name}": look(value)
        for module in list(sys.modules.values()) if getattr(module, "__name__", "").startswith("church.")
        for name, value in vars(module).items()
        if not name.startswith("__") and type(value).__name__ != "LocalProxy"
        and getattr(value, "__module__", module.__name__) == module.__name__
    }

def find_identities():
    names = {
        "hub": hub_of(app).relay.worker,
        "request": Observation({"REQUEST_METHOD": "GET"}, None).request_id,
        "secret": secrets.token_hex(8), "id": uuid.uuid4().hex, "random": random.random(),
        "file": next(tempfile._get_candidate_names()), "start": started_at(),
    }
    with app.test_request_context():
        names["form"] = csrf.make_token()
    return names

def count_made():
    return [sum(each.is_made for each in gc.get_objects() if isinstance(each, PerProcess)), find_identities()]

app = create_app()
names, before = set(app.extensions), look_at_modules()
rehearsal.rehearse(app)
after = look_at_modules()
changed = [name for name, value in after.items() if name in before and before[name] != value]
children = [in_child(count_made) for _ in range(2)]
print(json.dumps({
    "extensions": sorted(name for name, value in app.extensions.items() if not isinstance(value, PerProcess)),
    "added": sorted(set(app.extensions) - names),
    "changed": sorted(name for name in changed if before[name] != "cache" and not isinstance(before[name], tuple)),
    "cached": sorted(name for name in changed if isinstance(before[name], tuple)),
    "made": [made for made, _ in children],
    "identities": [find_identities(), *(identities for _, identities in children)],
}))
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql out of reach"])
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a rehearsal leaves, and who two children of its process are."""
    folder = tmp_path_factory.mktemp("site")
    settings = site_settings(folder)
    page = "---\ntitle: One\nsummary: s\ndate: 2026-01-01\naccess: public\n---\nSome *text*.\n"
    (settings.content / "one.md").write_text(page)
    bring_to_head(settings)
    app = create_app(settings)
    prepare.index_pages(app)
    with app.app_context():
        db.dispose()
    environment = {
        "CHURCH_ENV_FILE": "",
        "CHURCH_INSTANCE": str(settings.instance),
        "CHURCH_LOG_DIR": str(settings.log_dir),
        "CHURCH_CONTENT": str(settings.content),
        "PYTHONPATH": str(ROOT),
        **({} if request.param == "sqlite" else {"DATABASE_URL": "postgresql://church@192.0.2.1/church"}),
    }
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_children_have_names_and_random_values_of_their_own(left: dict[str, Any]) -> None:
    processes = left["identities"]
    for name in processes[0]:
        assert len({process[name] for process in processes}) == 3, name


def test_child_has_taken_over_nothing_that_each_process_makes(left: dict[str, Any]) -> None:
    assert left["made"] == [0, 0]


def test_state_of_the_app_is_made_by_each_process_or_is_named_here(left: dict[str, Any]) -> None:
    assert set(left["extensions"]) <= SHARED.keys()


def test_pages_leave_no_state_in_the_app(left: dict[str, Any]) -> None:
    assert left["added"] == []


def test_pages_leave_nothing_in_modules_but_what_is_named_here(left: dict[str, Any]) -> None:
    assert set(left["changed"]) <= LEFT.keys()
    assert set(left["cached"]) <= CACHED
