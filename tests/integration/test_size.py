"""A seeded site answers, and what its pages, lists, searches, jobs and scrapes read does not grow with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, func, select

from church import create_app
from church.config import Settings, load_settings
from church.database import kept_sums
from church.extensions import db
from church.models import Base, ChatMessage, ChatRoom, User
from church.observability.metrics import scrape_registry
from church.services.accounts.passwords import Sender, check_password
from ops.seed import PASSWORD, Size, fill_site
from ops.seed.fill import NotEmptyError
from ops.seed.walk import PAGES, UNLIMITED, Walk, list_jobs, walking
from tests.support.databases import copy_database
from tests.support.people import DEVICE
from tests.support.services_fixture import Postgres, on_postgresql

pytestmark = pytest.mark.services

# More than one part of every list, and ten times as much.
SMALL = Size(
    members=160, pages=60, videos=70, ledger=120, events=120, messages=180, audit=120, deployments=40, years=1
)  # fmt: skip
LARGE = Size(
    members=1600, pages=600, videos=700, ledger=1200, events=1200, messages=1800, audit=1200, deployments=400, years=1
)  # fmt: skip
JOB = "job "

SMALL_TABLES = {
    "api_tokens": "made by hand",
    "blocked_networks": "made by hand, and those that ended are removed",
    "chat_rooms": "made by migrations",
    "chat_sanctions": "made by hand, and those that ended are removed",
    "kept_sums": "some rows a month, and a job joins them",
    "maintenance": "has one row",
    "prices": "made by hand at Stripe",
    "products": "made by hand at Stripe",
    "schedules": "one for each kind of job",
    "unmatched_payments": "removed when their member is found, and some time after they have ended",
    "video_library": "has one row",
    "video_uploads": "under way, removed within a day",
}
"""Tables that do not grow with the site, and why. All others do, also those of tomorrow."""


@dataclass
class Trail:
    """What a step did: its statements, and the rows that each table gave it, with those that were looked at in vain."""

    statements: list[tuple[str, Any]] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    scans: set[str] = field(default_factory=set)
    """Growing tables that were read from end to end, as no index leads to what is wanted."""
    status: int = 200


Trails = Mapping[str, Trail]


def _site(folder: Path, database: str | None) -> Settings:
    places = {"CHURCH_INSTANCE": folder / "instance", "CHURCH_LOG_DIR": folder / "logs"}
    more = {"CHURCH_CONTENT": folder / "content", "METRICS_TOKEN": None, "CHURCH_ENVIRONMENTS": "production,staging"}
    return load_settings(_env_file=None, DATABASE_URL=database, **places, **more, **UNLIMITED)


def _walk(settings: Settings) -> Trails:
    """Take every step. A job runs once before, so that nothing is left to do, and no scrape is a site's before."""
    trails: dict[str, Trail] = {}
    with pytest.MonkeyPatch.context() as patch, walking(create_app(settings)) as walk:
        patch.setattr(scrape_registry, "_FRESH_SECONDS", 0.0)
        for name in PAGES:
            trails[name] = trail = Trail()
            with _noting(walk, trail):
                trail.status = walk.visit(name)
        for kind in list_jobs():
            walk.run_job(kind)
            trails[JOB + kind] = trail = Trail()
            with _noting(walk, trail):
                walk.run_job(kind)
    return trails


@contextmanager
def _noting(walk: Walk, trail: Trail) -> Iterator[None]:
    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many:
            trail.statements.append((statement, parameters))

    engines: set[Engine] = walk.app.extensions["database"]().open().distinct
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture(scope="module", params=["sqlite", on_postgresql])
def walks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_file: Path
) -> tuple[Trails, Trails]:
    """The steps on a small site, and on one with ten times as much of everything."""
    both = []
    for size in (SMALL, LARGE):
        folder = tmp_path_factory.mktemp("size")
        if request.param == "sqlite":
            settings = _site(folder, None)
            copy_database(migrated_file, settings)
        else:
            server: Postgres = request.getfixturevalue("_postgres")
            server.start()
            settings = _site(folder, server.new_database())
        fill_site(settings, size)
        trails = _walk(settings)
        if request.param != "sqlite":
            _explain(settings, trails)
        both.append(trails)
    return both[0], both[1]


# -- plans ------------------------------------------------------------------------------------------------------------


def _explain(settings: Settings, trails: Trails) -> None:
    """Have PostgreSQL explain each statement; it may read a table from end to end only where there is no other way."""
    with psycopg.connect(settings.database_dsn.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        # As if there were ten thousand times as many rows: the server chooses its ways for a large site.
        connection.execute(
            "UPDATE pg_class SET reltuples = reltuples * 10000 WHERE reltuples > 0 AND relkind IN ('r', 'i')"
        )
        for trail in trails.values():
            for statement, parameters in trail.statements:
                _add_plan(connection, trail, statement, parameters)


def _add_plan(connection: psycopg.Connection, trail: Trail, statement: str, parameters: Any) -> None:
    verb = statement.lstrip("( ").partition(" ")[0].strip().upper()
    if verb in {"SELECT", "WITH", "UPDATE", "DELETE", "INSERT"}:
        analyze = "ANALYZE, " if verb == "SELECT" else ""
        query: Any = f"EXPLAIN ({analyze}FORMAT JSON) {statement}"
        [row] = connection.execute(query, parameters).fetchall()
        _add_nodes(trail, row[0][0]["Plan"], limited=False)


def _add_nodes(trail: Trail, node: dict[str, Any], *, limited: bool) -> None:
    limited = limited or node["Node Type"] == "Limit"
    table = node.get("Relation Name")
    if table is not None and table not in SMALL_TABLES:
        found = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        trail.rows[table] += sum(node.get(name, 0) for name in found) * node.get("Actual Loops", 1)
        if node["Node Type"] == "Seq Scan" and not limited:
            trail.scans.add(table)
    for child in node.get("Plans", ()):
        _add_nodes(trail, child, limited=limited)


# -- what may not grow ------------------------------------------------------------------------------------------------

_FEW = 3
_PART = 110
"""Rows that a step may read more of: two parts of a list."""
_SHOWS = "shows 53 weeks and up to 400 deployments, of which the small site has fewer"
_WORDS = "found by an index of words, which PostgreSQL takes for large tables alone: ops.bench.size measures it"
_HALVES = "finds the day by halves, in some twenty looks at a million"
GROWING: dict[str, str] = {
    "search, common word": _WORDS,
    "search, rare word": _WORDS,
    "search, two words": _WORDS,
    "search, nothing found": _WORDS,
    "search of videos": _WORDS,
    "a video": _WORDS,
    "members, search": _WORDS,
    "members, search of an address": _WORDS,
    "members, nothing found": _WORDS,
    "deliveries, a year": _SHOWS,
    "deliveries, five years": _SHOWS,
    "overview": "counts the accounts of 30 days and looks for members with two subscriptions, in their indexes",
    "health of the parts": "looks at the same accounts and subscriptions as the overview",
    "sitemap": "names every video, once for each change",
    "jobs": "counts up to ten thousand of each state",
    "jobs, dead": "counts up to ten thousand of each state",
    "webhook events": "counts up to a thousand of each state",
    "webhook events, failed": "counts up to a thousand of each state",
    "webhook events, of a day": "counts up to a thousand of each state, and finds the day by halves",
    "members, of a day": _HALVES,
    "ledger, of a day": _HALVES,
    "audit log, of a day": _HALVES,
    "job billing.forget_payloads": "reads one batch of what is done",
    "job billing.reminders": "reads the subscriptions and passes that end within days, once an hour",
    "job videos.index": "compares the stamps of all videos, every quarter of an hour",
}
"""Steps that may read more on a larger site, and why."""


def test_seeded_site_answers_every_page(walks: tuple[Trails, Trails]) -> None:
    for trails in walks:
        assert {name: trail.status for name, trail in trails.items() if trail.status != 200} == {}


def test_ten_times_as_much_takes_no_more_statements(walks: tuple[Trails, Trails]) -> None:
    """But for a few about what the small site has none of, such as commits of the last 30 days."""
    small, large = ({name: len(trail.statements) for name, trail in trails.items()} for trails in walks)
    more = [f"{name}: {small[name]}, {large[name]}" for name in small if large[name] > small[name] + _FEW]
    _require_reasons(more)


def test_ten_times_as_much_is_not_read(walks: tuple[Trails, Trails]) -> None:
    """Every list has more than a part on the small site, so the larger one shows no more either."""
    more = [
        f"{name}: {table}, {walks[0][name].rows[table]}, {rows}"
        for name, large in walks[1].items()
        for table, rows in large.rows.items()
        if rows > 2 * walks[0][name].rows[table] + _PART
    ]
    _require_reasons(more)


def test_no_growing_table_is_read_from_end_to_end(walks: tuple[Trails, Trails]) -> None:
    scans = [f"{name}: {', '.join(sorted(trail.scans))}" for name, trail in walks[1].items() if trail.scans]
    _require_reasons(scans)


def _require_reasons(found: list[str]) -> None:
    """Fail with the steps that have no reason."""
    unexplained = [line for line in found if line.partition(":")[0] not in GROWING]
    assert not unexplained, "\n".join(unexplained)


def test_exceptions_name_what_is_there(walks: tuple[Trails, Trails]) -> None:
    assert set(GROWING) <= set(walks[0])
    assert set(SMALL_TABLES) <= set(Base.metadata.tables)


NOT_WALKED = {
    "admin.error_group": "an error of the telemetry store",
    "admin.find": "what the lists of members and pages find",
    "admin.live_notice": "a form",
    "admin.logs_around": "a record of the telemetry store",
    "admin.logs_export": "an export of the telemetry store",
    "admin.maintenance": "a form",
    "admin.membership_ledger_csv": "an export, which ops.bench.size measures by rows",
    "admin.metrics_csv": "an export of the telemetry store",
    "admin.metrics_json": "an export of the telemetry store",
    "admin.settings": "the settings of this process",
    "admin.trace": "a trace of the telemetry store",
    "admin.video_new": "a form",
    "admin.video_upload_state": "an upload that is under way",
    "auth.delete_form": "a form",
    "auth.email_form": "a form",
    "auth.first_admin_form": "a form",
    "auth.forgot_form": "a form",
    "auth.list_sessions": "leads to the account",
    "auth.login_form": "a form",
    "auth.mail_sent": "says the same to everyone",
    "auth.register_form": "a form",
    "auth.reset_form": "a form",
    "auth.verify_form": "a form",
    "brand.file": "a file",
    "live.list_rooms": "leads to the first room",
    "live.ws": "a socket",
    "markdown.picture": "a file",
    "markdown.robots": "says the same to everyone",
    "markdown.sitemap_file": "kept with the sitemap, of a site with more than 50,000 addresses",
    "markdown.without_slash": "leads to the list",
    "static": "a file",
    "status.ready": "asks each part whether it answers",
    "stripe.cancel": "leads to the account",
    "stripe.preview": "asks Stripe",
    "stripe.success": "asks Stripe",
    "video.asset": "a file",
    "video.stream": "a file",
}
"""Addresses that are read by GET and are not walked, and why."""


def test_every_address_is_walked_or_says_why_not(migrated_site: Settings) -> None:
    app = create_app(migrated_site)
    adapter, places = app.url_map.bind("church.example"), defaultdict(lambda: "0")
    walked = {
        str(adapter.match(path.removesuffix("#json").format_map(places).partition("?")[0])[0])
        for _, path in PAGES.values()
    }
    every = {rule.endpoint for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert every - walked == set(NOT_WALKED)


# -- the seed ---------------------------------------------------------------------------------------------------------


def test_seed_fills_an_empty_site_by_its_rules_and_refuses_another(migrated_site: Settings) -> None:
    tiny = Size(members=70, pages=3, videos=5, ledger=60, events=20, messages=70, audit=20, deployments=20, years=2)
    counts = fill_site(migrated_site, tiny, derive=False)
    assert (counts["users"], counts["ledger_entries"], counts["videos"]) == (70, 60, 5)
    app = create_app(migrated_site)
    with app.app_context(), db.read() as session:
        assert kept_sums.find_wrong_sums(session.connection()) == []
        assert session.scalars(select(func.count()).select_from(ChatMessage)).one() == 70
        # Each room has counted at least its messages, and continues after them.
        newest = select(func.max(ChatMessage.changed)).where(ChatMessage.room_id == ChatRoom.id).scalar_subquery()
        assert [*session.execute(select(ChatRoom.last_number - newest))] == [(0,)] * 3
        admin = session.scalars(select(User).where(User.email == "admin-1@church.example")).one()
        assert check_password(PASSWORD, admin.password_hash, Sender(DEVICE))
    with app.app_context():
        db.dispose()
    with pytest.raises(NotEmptyError, match="users"):
        fill_site(migrated_site, tiny)
