"""From ``flask church run`` to its supervisor: plan the processes, then become the small process that runs them.

Preparing may have loaded the whole site. A new program in the same process, and with its process id, gives that
memory back.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dotenv import dotenv_values

from church.config import Settings
from church.lib.files import make_private
from church.lib.local_servers import server_command
from church.server.direct_logs import describe_logs
from church.server.supervisor import OBSERVE, STORE, WEB, Child, Plan
from church.server.work import WITH_WORK

ROOT = Path(__file__).resolve().parent.parent.parent
_HEAD_START = 1.5  # seconds for gunicorn's workers to start first: visitors wait for them


def become_supervisor(settings: Settings, addresses: Sequence[str]) -> NoReturn:
    """Replace this process by the supervisor. ``addresses`` are printed again when the start is over."""
    for folder in (settings.instance, settings.log_dir):
        make_private(folder)
    reader, writer = os.pipe()
    os.write(writer, make_plan(settings, addresses).to_json().encode())  # a pipe holds 64 KiB
    os.close(writer)
    os.set_inheritable(reader, True)
    sys.stdout.flush()
    command = [sys.executable, "-m", "church.server.supervisor", str(reader), "flask church run"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**_without_env_file(dict(os.environ)), WITH_WORK: "1", "PYTHONPATH": path}
    os.execve(sys.executable, command, environment)  # noqa: S606


def make_plan(settings: Settings, addresses: Sequence[str]) -> Plan:
    """Plan what the supervisor runs."""
    return Plan(
        instance=str(settings.instance),
        bind=settings.bind,
        logs=describe_logs(settings),
        children=list_children(settings),
        lines=list(addresses),
    )


def list_children(settings: Settings) -> list[Child]:
    """The processes to run: the store first, since the others use it. gunicorn's master runs the worker process."""
    python = sys.executable
    gunicorn = ["-m", "gunicorn", "-c", f"{ROOT}/ops/gunicorn.conf.py", "--pythonpath", str(ROOT), "wsgi:app"]
    children = [Child(WEB, [python, *gunicorn])]
    if settings.till:
        children.append(Child("till", [python, "-m", "church.till"], after=_HEAD_START))
    if settings.observatory:
        children.append(Child(OBSERVE, [python, "-m", "church.server.observe"], after=2 * _HEAD_START))
    if settings.redis_url is None:
        # It stores nothing on disk; killed, it cannot remove the socket of its successor.
        children.insert(0, Child(STORE, server_command(settings.instance, settings.log_dir), orphaned=signal.SIGKILL))
    return children


def _without_env_file(environment: dict[str, str]) -> dict[str, str]:
    """Leave out the settings that Flask has copied from the env file: a reload reads the file again."""
    file = environment.get("CHURCH_ENV_FILE", ".env")
    copied = dotenv_values(file) if file else {}
    settings = {str(field.validation_alias) for field in Settings.model_fields.values()}
    return {name: value for name, value in environment.items() if name not in settings or copied.get(name) != value}
