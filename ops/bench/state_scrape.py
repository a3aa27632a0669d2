"""What a scrape costs on a site that has lived: 10,000 members, 5,000 deployments, 40 routes."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from church import create_app
from church.extensions import db
from ops.bench import full_house
from ops.bench.scrapes import live_and_die
from ops.bench.server import Server, serving

_SCRAPES = 20


def measure() -> float:
    """Milliseconds of CPU of a scrape that has to read all of it from the database anew."""
    with serving() as server:
        full_house.move_in(server.settings)
        worker = multiprocessing.get_context("fork").Process(target=live_and_die, args=(server,))
        worker.start()
        worker.join()
        with _deployer(server) as deploy:
            kept = _cost(server, lambda: None)
            read = _cost(server, lambda: _forget(server))
            anew = _cost(server, lambda: (_forget(server), deploy()))
    print(f"  a scrape of {full_house.MEMBERS:,} members and {full_house.DEPLOYMENTS:,} deployments, in ms of CPU:")
    print(f"  {kept:.1f} within 4 seconds of another, {read:.1f} later, {anew:.1f} after a deployment")
    return anew


def _cost(server: Server, before: Callable[[], object]) -> float:
    """The median of scrapes of this kind, in milliseconds."""
    found = []
    for _ in range(_SCRAPES):
        before()
        start = server.cpu()
        server.get("/metrics")
        found.append((server.cpu() - start) * 1e3)
    return statistics.median(found)


def _forget(server: Server) -> None:
    """What the last scrape kept for the others of the next seconds."""
    (server.settings.metrics_dir / "state.json").unlink(missing_ok=True)


@contextmanager
def _deployer(server: Server) -> Iterator[Callable[[], None]]:
    app = create_app(server.settings)

    def deploy() -> None:
        with app.app_context(), db.write() as session:
            full_house.deploy(session)

    yield deploy
    with app.app_context():
        db.dispose()
