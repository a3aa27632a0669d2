"""Benchmark a scrape of a busy site: 10,000 members, 5,000 deployments, 40 routes."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from church import create_app
from church.extensions import db
from ops.bench import full_house
from ops.bench.scrapes import act_as_killed_worker
from ops.bench.server import Server, serving

_SCRAPES = 20


def measure() -> float:
    """Return the CPU of a scrape that must read everything from the database again, in milliseconds."""
    with serving() as server:
        full_house.fill_database(server.settings)
        worker = multiprocessing.get_context("fork").Process(target=act_as_killed_worker, args=(server,))
        worker.start()
        worker.join()
        with _deployer(server) as deploy:
            cached = _median_cpu(server, lambda: None)
            read = _median_cpu(server, lambda: _clear_cache(server))
            recomputed = _median_cpu(server, lambda: (_clear_cache(server), deploy()))
    print(f"  a scrape of {full_house.MEMBERS:,} members and {full_house.DEPLOYMENTS:,} deployments, in ms of CPU:")
    print(f"  {cached:.1f} within 4 seconds of another, {read:.1f} later, {recomputed:.1f} after a deployment")
    return recomputed


def _median_cpu(server: Server, before: Callable[[], object]) -> float:
    """Return the median CPU of scrapes, in milliseconds; ``before`` runs before each."""
    costs = []
    for _ in range(_SCRAPES):
        before()
        start = server.cpu()
        server.get("/metrics")
        costs.append((server.cpu() - start) * 1e3)
    return statistics.median(costs)


def _clear_cache(server: Server) -> None:
    """Remove the values that a scrape caches for the next seconds."""
    (server.settings.metrics_dir / "state.json").unlink(missing_ok=True)


@contextmanager
def _deployer(server: Server) -> Iterator[Callable[[], None]]:
    """Give a function that adds a deployment."""
    app = create_app(server.settings)

    def deploy() -> None:
        with app.app_context(), db.write() as session:
            full_house.add_deployment(session)

    yield deploy
    with app.app_context():
        db.dispose()
