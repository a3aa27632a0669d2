"""Show what a large site costs beside a small one: ``python -m ops.bench.size``.

Both are seeded sites (``python -m ops.seed``), each in an instance of its own: ``--small`` and ``--large`` are their
instance folders, and their content folders stand beside these. ``--small-url`` and ``--large-url`` are their databases
on PostgreSQL, with the CPU of the server added. Without any of these, both are filled in a temporary folder, the large
one with a share of the site of a million (``--scale``).

Every page, list, search and feed is read in this process, ``--rounds`` times in turn on both sites; printed are medians
of its CPU. Exports and backup are judged by 1,000 rows. A row that is above three times the small site has a reason, or
is marked.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, make_url, select

from church import create_app
from church.backup import backup
from church.config import Settings, load_settings
from church.database.engines import is_sqlite
from church.extensions import db
from church.models import Base, LedgerEntry
from church.services import billing
from ops.seed import MILLION, fill_site
from ops.seed.walk import PAGES, UNLIMITED, Walk, list_jobs, walking

MOST = 3.0
"""How many times what the small site costs."""
_LESS = "shows a whole part of the list, where the small site has little or nothing to show"
REASONS: dict[str, str] = {
    "list of pages": _LESS,
    "list of pages, signed in": _LESS,
    "list of a month": _LESS,
    "list of a tag": _LESS,
    "search, common word": "ranks up to a thousand pages, of which the small site has twenty",
    "members, search": "sorts all members with these letters in their name, three in a hundred",
    "members, search of an address": "most accounts share the trigrams of the domain",
    "subscriptions, past due": _LESS,
    "payments without a member": _LESS,
    "reports": _LESS,
    "sanctions": _LESS,
    "jobs, dead": _LESS,
    "emails, failed": _LESS,
    "deliveries, 30 days": "shows up to 400 deployments; the small site has one or two in 30 days",
    "deliveries, a year": "shows 53 weeks and 400 deployments, where the small site has a few",
    "deliveries, five years": "shows the same, and counts the deployments of five years in their indexes",
    "deliveries as JSON": "counts the deployments of 30 days; the small site has one or two",
    "overview": "counts the accounts of 30 days and looks for members with two subscriptions, in their indexes",
    "job accounts.forget_unverified": "walks the accounts that were never verified, once a day",
    "job accounts.purge": "looks at the closed accounts, for a session that is left",
    "job billing.reminders": "reads the subscriptions that renew within days, once an hour",
    "job videos.index": "compares the stamps of all videos, every quarter of an hour",
    "job pages.index": "compares the stamps of all pages, every five minutes",
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

    def cpu(self) -> float:
        """Seconds of CPU of this process, and of PostgreSQL's for this database."""
        return time.process_time() + (0.0 if is_sqlite(self.settings) else _server_cpu(self.settings))


@dataclass(frozen=True)
class Cost:
    """Milliseconds of CPU on the small and on the large site, by 1,000 rows where ``by_rows``."""

    name: str
    small: float
    large: float
    by_rows: bool = False

    @property
    def ratio(self) -> float:
        return self.large / self.small if self.small else 0.0

    def line(self) -> str:
        name = f"{self.name}, by 1,000 rows" if self.by_rows else self.name
        why = "" if self.ratio <= MOST else REASONS.get(self.name, "**above**")
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


def _sites(options: argparse.Namespace, opened: ExitStack) -> Iterator[contextmanager[Site]]:  # type: ignore[valid-type]
    for name, share in (("small", 0.001), ("large", options.scale)):
        instance, url = getattr(options, name), getattr(options, f"{name}_url")
        folder = instance.parent if instance else Path(opened.enter_context(tempfile.TemporaryDirectory()))
        content = getattr(options, f"{name}_content") or folder / "content"
        places = {"CHURCH_INSTANCE": instance or folder / "instance", "CHURCH_CONTENT": content}
        settings = load_settings(
            _env_file=None, DATABASE_URL=url, CHURCH_LOG_DIR=folder / "logs", METRICS_TOKEN=None, **places, **UNLIMITED
        )
        if instance is None:
            fill_site(settings, MILLION.scaled(share), say=print)
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
            yield Cost(f"job {kind}", *_alternate((small, large), run, 1))
    for name, action, rows in (
        ("export of the ledger", _export, lambda site: site.ledger / 1000),
        ("backup", _back_up, lambda site: site.rows),
    ):
        if only in name:
            costs = _alternate((small, large), action, 1, warm=0)
            by_rows = [cost / rows(site) for cost, site in zip(costs, (small, large), strict=True)]
            yield Cost(name, by_rows[0], by_rows[1], by_rows=True)


def _alternate(
    sites: tuple[Site, Site], action: Callable[[Site], object], rounds: int, warm: int = 2
) -> tuple[float, float]:
    """Do it on both sites in turn, and return the median CPU of each, in milliseconds."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(warm + rounds):
        for site, costs in zip(sites, found, strict=True):
            started = site.cpu()
            action(site)
            if number >= warm:
                costs.append((site.cpu() - started) * 1e3)
    return statistics.median(found[0]), statistics.median(found[1])


def _export(site: Site) -> None:
    with site.walk.app.app_context():
        for _ in billing.export_ledger():
            pass


def _back_up(site: Site) -> None:
    with tempfile.TemporaryDirectory(dir=site.settings.instance) as folder:
        backup(site.settings, Path(folder) / "backup.tar.gz")


def _server_cpu(settings: Settings) -> float:
    """Seconds of CPU of PostgreSQL's sessions in this database; their command lines name it."""
    database = f" {make_url(settings.database_dsn).database} ".encode()
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, stat = (process / "cmdline").read_bytes(), (process / "stat").read_text()
        except OSError:
            continue
        if command.startswith(b"postgres:") and database in command:
            total += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
