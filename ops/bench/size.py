"""Show what a large site costs beside a small one: ``python -m ops.bench.size``.

Both are seeded sites (``python -m ops.seed``), each in an instance of its own: ``--small`` and ``--large`` are their
instance folders, and their content folders stand beside these. ``--small-url`` and ``--large-url`` are their databases
on PostgreSQL, with the CPU of the server added. Without any of these, both are filled in a temporary folder, the large
one with a share of the site of a million (``--scale``).

Every page, list, search and feed is read in this process, ``--rounds`` times in turn on both sites; printed are medians
of its CPU. Export, backup, restore and the comparison with Stripe are judged by 1,000 rows; printed are also the
seconds that they took on the large site, and by how much this process grew. A line above three times the small site
has a reason, or is marked.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import create_engine, func, make_url, select, text

from church import create_app
from church.backup import backup, restore
from church.config import Settings, load_settings
from church.database.engines import is_sqlite
from church.extensions import db
from church.models import Base, LedgerEntry
from church.services import billing
from ops.bench.server import free_port
from ops.bench.stripe_stand_in import stripe_stand_in
from ops.seed import MILLION, SMALL, fill_site
from ops.seed.walk import PAGES, UNLIMITED, Walk, list_jobs, walking

MOST = 3.0
"""How many times what the small site costs."""
REASONS: dict[str, str] = {
    "overview": "looks for members with two subscriptions among all current ones, in their index",
    "job accounts.forget_unverified": "walks the accounts that were never verified, once a day",
    "job accounts.purge": "looks at the closed accounts, for a session that is left, once an hour",
}
"""What may cost more, and why."""


@dataclass(frozen=True)
class Site:
    """One of the two sites."""

    settings: Settings
    walk: Walk
    rows: int
    """Rows of all tables, in thousands at least one."""
    ledger: int

    def measure(self, action: Callable[[], object]) -> float:
        """Seconds of CPU that this process with its children takes, and PostgreSQL for this database."""
        server = self._server()
        own = time.process_time() + sum(os.times()[2:4])
        action()
        own = time.process_time() + sum(os.times()[2:4]) - own
        return own + self._server() - server

    def _server(self) -> float:
        return 0.0 if is_sqlite(self.settings) else _server_cpu(self.settings)


@dataclass(frozen=True)
class Cost:
    """Milliseconds of CPU on the small and on the large site, by 1,000 rows where ``by_rows``."""

    name: str
    small: float
    large: float
    by_rows: bool = False
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.large / self.small if self.small else 0.0

    def line(self) -> str:
        name = f"{self.name}, by 1,000 rows" if self.by_rows else self.name
        why = self.note if self.ratio <= MOST else REASONS.get(self.name, "**above**")
        return f"| {name} | {self.small:.2f} | {self.large:.2f} | {self.ratio:.1f} | {why} |"


def main() -> None:
    """Measure everything, and print a table in markdown."""
    options = _parse()
    with ExitStack() as opened:
        small, large = (opened.enter_context(site) for site in _sites(options, opened))
        kind = "SQLite" if is_sqlite(large.settings) else "PostgreSQL"
        print(f"{small.rows:,} and {large.rows:,} thousand rows on {kind}")
        print("\n| what | small, ms of CPU | large, ms of CPU | ratio | |\n| --- | --- | --- | --- | --- |")
        for cost in _measure(small, large, options.rounds, options.only):
            print(cost.line(), flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.bench.size")
    for name in ("small", "large"):
        parser.add_argument(f"--{name}", type=Path, help=f"instance folder of the {name} site, seeded before")
        parser.add_argument(f"--{name}-url", help=f"database of the {name} site on PostgreSQL")
        parser.add_argument(f"--{name}-content", type=Path, help="its content folder; default: beside the instance")
    parser.add_argument("--scale", type=float, default=0.05, help="share of the site of a million to fill")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="only what has this in its name")
    return parser.parse_args()


def _sites(options: argparse.Namespace, opened: ExitStack) -> Iterator[AbstractContextManager[Site]]:
    for name, size in (("small", SMALL), ("large", MILLION.scaled(options.scale))):
        instance, url = getattr(options, name), getattr(options, f"{name}_url")
        folder = instance.parent if instance else Path(opened.enter_context(tempfile.TemporaryDirectory()))
        content = getattr(options, f"{name}_content") or folder / "content"
        places = {"CHURCH_INSTANCE": instance or folder / "instance", "CHURCH_CONTENT": content}
        settings = load_settings(
            _env_file=None, DATABASE_URL=url, CHURCH_LOG_DIR=folder / "logs", METRICS_TOKEN=None,
            CHURCH_TILL_BIND=f"127.0.0.1:{free_port()}", **places, **UNLIMITED,
        )  # fmt: skip
        if instance is None:
            fill_site(settings, size, say=print)
        yield _open(settings)


@contextmanager
def _open(settings: Settings) -> Iterator[Site]:
    app = create_app(settings)
    with walking(app) as walk:
        with app.app_context(), db.read() as session:
            counts = {
                table.name: session.scalar(select(func.count()).select_from(table)) or 0
                for table in Base.metadata.sorted_tables
            }
        yield Site(settings, walk, max(1, sum(counts.values()) // 1000), counts[LedgerEntry.__tablename__])


def _measure(small: Site, large: Site, rounds: int, only: str) -> Iterator[Cost]:
    for name in PAGES:
        if only in name:
            yield Cost(name, *_alternate((small, large), lambda site, name=name: site.walk.visit(name), rounds))  # type: ignore[misc]
    for kind in list_jobs():
        if only in f"job {kind}":
            run: Callable[[Site], object] = lambda site, kind=kind: site.walk.run_job(kind)  # type: ignore[misc]  # noqa: E731
            yield Cost(f"job {kind}", *_alternate((small, large), run, min(rounds, 3)))
    for name, prepare in _BY_ROWS.items():
        if only in name:
            yield _measure_by_rows(name, prepare, small, large)


def _alternate(
    sites: tuple[Site, Site], action: Callable[[Site], object], rounds: int, warm: int = 2
) -> tuple[float, float]:
    """Do it on both sites in turn, and return the median CPU of each, in milliseconds."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(warm + rounds):
        for site, costs in zip(sites, found, strict=True):
            cost = site.measure(partial(action, site))
            if number >= warm:
                costs.append(cost * 1e3)
    return statistics.median(found[0]), statistics.median(found[1])


# -- by rows ----------------------------------------------------------------------------------------------------------

Prepared = Iterator[tuple[Callable[[], object], float]]
"""What is measured, and how many thousand rows it is about."""


def _measure_by_rows(
    name: str, prepare: Callable[[Site], AbstractContextManager[tuple[Callable[[], object], float]]],
    small: Site, large: Site,
) -> Cost:  # fmt: skip
    costs, grown, seconds = [], [], 0.0
    with small.walk.app.app_context(), prepare(small) as (action, _):
        action()  # loads what the first one needs
    for site in (small, large):
        with site.walk.app.app_context(), prepare(site) as (action, thousands):
            before, started = _memory(), time.monotonic()
            costs.append(site.measure(action) / thousands * 1e3)
            grown.append(_memory(peak=True) - before)
            seconds = time.monotonic() - started
    note = f"{seconds:.0f} s, {grown[1]:.0f} MiB more memory; small site: {grown[0]:.0f} MiB"
    return Cost(name, costs[0], costs[1], by_rows=True, note=note)


def _memory(*, peak: bool = False) -> float:
    """MiB that this process holds; or the most that it held since it was asked before."""
    if not peak:
        Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


@contextmanager
def _export(site: Site) -> Prepared:
    yield lambda: sum(1 for _ in billing.export_ledger()), site.ledger / 1000


@contextmanager
def _back_up(site: Site) -> Prepared:
    with tempfile.TemporaryDirectory(dir=site.settings.instance.parent) as folder:
        yield lambda: backup(site.settings, Path(folder) / "backup.tar.gz"), site.rows


@contextmanager
def _restore(site: Site) -> Prepared:
    """Restore a backup to an empty instance; on PostgreSQL to a database beside the site's."""
    with tempfile.TemporaryDirectory(dir=site.settings.instance.parent) as name, ExitStack() as opened:
        folder = Path(name)
        backup(site.settings, folder / "backup.tar.gz")
        places: dict[str, object] = {"instance": folder / "instance", "content": folder / "content"}
        if not is_sqlite(site.settings):
            places["database_url"] = SecretStr(opened.enter_context(_database_beside(site.settings)))
        yield lambda: restore(site.settings.model_copy(update=places), folder / "backup.tar.gz"), site.rows


@contextmanager
def _reconcile(site: Site) -> Prepared:
    parent = site.settings.instance.parent
    with tempfile.TemporaryDirectory(dir=parent) as folder, stripe_stand_in(site.settings, Path(folder)) as count:
        yield billing.reconcile_with_stripe, count / 1000


_BY_ROWS: dict[str, Callable[[Site], AbstractContextManager[tuple[Callable[[], object], float]]]] = {
    "export of the ledger": _export,
    "comparison with Stripe": _reconcile,
    "backup": _back_up,
    "restore": _restore,
}


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


@contextmanager
def _database_beside(settings: Settings) -> Iterator[str]:
    """Make an empty database for a block, and return its address."""
    url = make_url(settings.database_dsn)
    beside = f"{url.database}_restored"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{beside}"'))
        try:
            yield url.set(drivername="postgresql", database=beside).render_as_string(hide_password=False)
        finally:
            connection.execute(text(f'DROP DATABASE "{beside}" WITH (FORCE)'))
    engine.dispose()


def _server_cpu(settings: Settings) -> float:
    """Seconds of CPU of PostgreSQL's sessions in this database, whose command lines name it, and of all that ended."""
    database = f" {make_url(settings.database_dsn).database}".encode()
    servers: set[str] = set()
    seconds = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            stat = (process / "stat").read_text().rpartition(")")[2].split()
            command = (process / "cmdline").read_bytes()
            if command.startswith(b"postgres:") and database in command:
                servers.add(stat[1])
                seconds += int((process / "schedstat").read_text().split()[0]) / 1e9
    for server in servers:
        stat = (Path("/proc") / server / "stat").read_text().rpartition(")")[2].split()
        seconds += sum(map(int, stat[13:15])) / os.sysconf("SC_CLK_TCK")
    return seconds


if __name__ == "__main__":
    main()
