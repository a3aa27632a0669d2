"""This host's copy of the blocks in force: a file in the instance folder, replaced as a whole.

Web processes read it, and nothing else, to know whom to refuse: so a block holds while the database does not answer,
also in a process that starts then.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from church.config import Settings
from church.lib.files import make_private
from church.lib.network.network_table import NetworkTable, parse_network
from church.services.blocks.networks import read_network

_PATIENCE = 2.0  # seconds to wait for another process that writes the copy
_PAUSE = 0.01
_STALE = -1  # the revision of a copy that differs from the database

log = logging.getLogger("church.blocks")


@dataclass(frozen=True)
class ActiveBlocks:
    """Blocks in force, each with the Unix time of its end, as of a change with the number ``revision``."""

    revision: int = 0
    networks: tuple[tuple[str, float], ...] = ()

    def as_table(self) -> NetworkTable:
        """Make a table to look addresses up in."""
        return NetworkTable((parse_network(network), ends) for network, ends in self.networks)


def copy_file(settings: Settings) -> Path:
    """Path of the copy."""
    return settings.instance / "blocked-networks"


def read_copy(settings: Settings) -> ActiveBlocks | None:
    """Read the copy; None if there is none, or none that can be read."""
    try:
        facts = json.loads(copy_file(settings).read_bytes())
        networks = tuple((str(parse_network(network)), float(ends)) for network, ends in facts["networks"])
        return ActiveBlocks(int(facts["revision"]), networks)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        log.warning("copy of blocks not read", extra={"event": "blocks.unread", "reason": type(error).__name__})
        return None


def keep_copy(settings: Settings, load: Callable[[], ActiveBlocks]) -> None:
    """Write what ``load`` finds, if it is new. Raises what ``load`` raises, and OSError.

    One process at a time: whoever writes last has also read last.
    """
    with _in_turn(settings):
        found = load()
        if read_copy(settings) != found:
            _write(settings, found)


def leave_out(settings: Settings, text: str) -> bool:
    """Take a network out of this host's copy, until the database answers again; return whether it was there.

    Raises FieldErrors and OSError.
    """
    network = str(read_network(text))
    with _in_turn(settings):
        former = read_copy(settings) or ActiveBlocks()
        rest = tuple(one for one in former.networks if one[0] != network)
        if len(rest) == len(former.networks):
            return False
        _write(settings, ActiveBlocks(_STALE, rest))
        return True


def _write(settings: Settings, blocks: ActiveBlocks) -> None:
    path = copy_file(settings)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"revision": blocks.revision, "networks": blocks.networks}))
    draft.replace(path)


@contextmanager
def _in_turn(settings: Settings) -> Iterator[None]:
    """Keep other processes of this host out of the block. Raises TimeoutError, an OSError."""
    make_private(settings.instance)
    handle = os.open(settings.instance / "blocked-networks.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)  # which gives the lock back


def _lock(handle: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError("another process is writing the list of blocked networks") from None
            time.sleep(_PAUSE)
