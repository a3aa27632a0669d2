"""The process of the telemetry store: ``flask church observe`` and the supervisor run it.

Reading the settings takes more memory than the store itself. A new program in the same process, and with its process
id, gives that memory back.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from church.lib.files import UMASK, make_private
from church.server.direct_logs import LogPlan, describe_logs, install_logs
from church.telemetry_store.observe import Plan, run

OFF = 78
"""Exit code where a setting turns the store off (EX_CONFIG of <sysexits.h>): systemd does not start it again."""
_ROOT = Path(__file__).resolve().parent.parent.parent


def become_observer() -> NoReturn:
    """Read the settings, then become the process that runs the store; ends if they turn it off."""
    from church.config import ConfigError, load_settings  # noqa: PLC0415 - see above
    from church.lib.version import VERSION  # noqa: PLC0415

    try:
        settings = load_settings()
    except ConfigError as error:
        sys.exit(f"The telemetry store can't start with these settings:\n{error}")
    if not settings.observatory:
        print("CHURCH_OBSERVATORY is off.", file=sys.stderr)
        sys.exit(OFF)
    for folder in (settings.instance, settings.log_dir):
        make_private(folder)
    plan = Plan(
        instance=str(settings.instance),
        log_dir=str(settings.log_dir),
        days=settings.observatory_days,
        bytes=settings.observatory_bytes,
        bind=settings.bind,
        metrics_token=settings.metrics_token.get_secret_value() if settings.metrics_token else None,
        version=VERSION,
        address_days=settings.observatory_address_days,
    )
    reader, writer = os.pipe()  # it may hold a secret, so it is no argument
    os.write(writer, json.dumps([plan, describe_logs(settings)]).encode())
    os.close(writer)
    os.set_inheritable(reader, True)
    command = [sys.executable, "-m", "church.server.observe", str(reader), "flask church observe"]
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606


def main() -> None:
    """Run the plan in the file descriptor that is the first argument; without one, make it first."""
    os.umask(UMASK)
    if len(sys.argv) < 2:
        become_observer()
    with os.fdopen(int(sys.argv[1]), encoding="utf-8") as file:
        plan, logs = json.load(file)
    install_logs(LogPlan(*logs))
    sys.exit(run(Plan(*plan)))


if __name__ == "__main__":
    main()
