"""Whom this process refuses: the blocked networks, as the host's copy of the list has them.

A change reaches the other processes of its host by that copy, within ``_LOOK`` seconds. One process of each host asks
the database now and then whether another host has changed the list, and then renews the copy. Nothing of this is done
for a request, which looks its address up in memory.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from flask import current_app

from church.config import Settings
from church.database.engines import is_sqlite
from church.lib.host.host_mark import HostMark
from church.lib.network.network_table import NetworkTable
from church.lib.per_process import PerProcess
from church.lib.threads import start_beside
from church.services import blocks as service
from church.services.audit import Actor
from church.services.blocks import ActiveBlocks, Own
from church.web.proxies import ProxyList

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger("church.blocks")

_LOOK = 0.5  # seconds between two looks at the host's copy
_ASK = 0.5  # seconds between two questions to the database of several hosts
_ASK_OWN = 5.0  # the same for SQLite, which has one host: whoever changes the list renews the copy
_ASKED_AT = 0  # place of the mark: when a process of this host asked last, in milliseconds
_EXTENSION = "blocks"


class BlockWatch:
    """The blocks that this process knows of. ``on_change`` is called when there are others.

    ``proxies`` finds the clients behind trusted proxies.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._settings: Settings = app.config["CHURCH"]
        self.proxies = ProxyList(self._settings.trusted_proxies)
        self._copy = service.copy_file(self._settings)
        self._mark = HostMark(self._settings.instance / "blocked-networks.mark")
        self._pause = _ASK_OWN if is_sqlite(self._settings) else _ASK
        self._version: tuple[int, int] | None = None
        self._asks = False
        self.on_change: Callable[[], None] = lambda: None
        self.table = NetworkTable()
        self.look()

    def refuses(self, address: str) -> bool:
        """Whether requests of a client are refused. A proxy that is trusted by now is never refused."""
        return self.table.covers(address, time.time()) and not self.proxies.trusts(address)

    def run(self) -> None:
        """Watch for ever: in a thread, or a greenlet, of its own."""
        while True:
            try:
                self.step()
            except Exception:
                log.exception("list of blocks not read", extra={"event": "blocks.failed"})
            time.sleep(_LOOK)

    def step(self) -> None:
        """Look at the host's copy; ask the database beside it, which may hang, if no process has done so lately."""
        self.look()
        if not self._asks and self._is_due():
            self._asks = True
            start_beside("blocks", self.ask)

    def look(self) -> None:
        """Read the host's copy if it has changed."""
        with suppress(OSError):
            facts = os.stat(self._copy)
            version = (facts.st_mtime_ns, facts.st_ino)
            if version != self._version:
                self._version = version
                self._take(service.read_copy(self._settings))

    def _take(self, found: ActiveBlocks | None) -> None:
        if found is not None:  # else it cannot be read: what was known stays
            self.table = found.as_table()
            self.on_change()

    def ask(self) -> None:
        """Renew the host's copy if the database has a change that it lacks. If that does not answer, the copy stays."""
        try:
            with self._app.app_context():
                known = service.read_copy(self._settings)
                if known is None or known.revision != service.find_revision():
                    service.keep_copy(self._settings, service.load_active)
        except Exception as error:  # noqa: BLE001 - down, not migrated, a full disk: nothing of this may lift a block
            log.debug("blocks not asked for", extra={"event": "blocks.unasked", "reason": type(error).__name__})
        finally:
            self._asks = False
        self.look()

    def _is_due(self) -> bool:
        """Whether to ask now. Two processes may both do so: that costs a question, and nothing else."""
        now = int(time.monotonic() * 1000)
        since = now - self._mark[_ASKED_AT]
        if 0 <= since < self._pause * 1000:  # a larger number is of before the last start of the machine
            return False
        self._mark[_ASKED_AT] = now
        return True


def watch_of(app: Flask) -> BlockWatch:
    """Return the watch of ``app`` in this process."""
    watch: PerProcess[BlockWatch] = app.extensions[_EXTENSION]
    return watch()


def block(network: str, until: datetime, reason: str, actor: Actor) -> str:
    """Block a network from the current app on; returns its canonical form. Raises what ``block_network`` raises.

    Other processes of this host know it within a second, other hosts within two.
    """
    settings: Settings = current_app.config["CHURCH"]
    own = Own(settings.trusted_proxies, actor.address)
    name = service.block_network(network, until, reason, own, actor)
    _spread()
    return name


def unblock(network: str, actor: Actor) -> str:
    """Lift a block; returns the network's canonical form. Raises what ``lift_block`` raises."""
    name = service.lift_block(network, actor)
    _spread()
    return name


def unblock_here(network: str) -> bool:
    """Lift a block on this host until the database answers again. Raises FieldErrors and OSError."""
    return service.leave_out(current_app.config["CHURCH"], network)


def _spread() -> None:
    """Renew the host's copy. If that fails, as on a full disk, the watch tries again."""
    with suppress(OSError):
        service.keep_copy(current_app.config["CHURCH"], service.load_active)
    watch_of(current_app).look()


def init_app(app: Flask) -> None:
    """Give ``app`` a watch in each process; the server starts it."""
    app.extensions[_EXTENSION] = PerProcess(partial(BlockWatch, app))
