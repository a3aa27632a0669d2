"""A web worker patches Python late: what its parent had imported by name must not block its other greenlets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

PATCH_LATE = """
import gc, sys, threading, time
from church import create_app
from church.config import load_settings
from church.server.gunicorn_worker import FairWorker
from church.server import early_names
from gunicorn.workers.ggevent import GeventWorker
app = create_app(load_settings())
early_names.note()
real = (time.sleep, type(threading.Lock()))
worker = FairWorker.__new__(FairWorker)
worker.sockets = []
FairWorker.patch(worker)

import gevent
import queue, ssl
import redis.connection, redis.retry
from redis.backoff import ConstantBackoff
from redis.retry import Retry

ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.001)
gevent.spawn(tick)

def fail():
    raise redis.ConnectionError
try:
    Retry(ConstantBackoff(0.2), 1, supported_errors=(redis.ConnectionError,)).call_with_retry(fail, lambda error: None)
except redis.ConnectionError:
    pass
print("others ran while redis waited:", len(ticks) > 5)

print("queue of connections:", redis.connection.LifoQueue is queue.LifoQueue)
from church.live.connection import RawSocket
import _socket
print("raw socket kept:", RawSocket is _socket.socket)

early, early_locks = [], []
from types import FunctionType
for each in gc.get_objects():
    top = (each.__module__ or "").partition(".")[0] if type(each) is FunctionType else "gevent"
    if top not in {*sys.stdlib_module_names, "gevent"}:
        if real[0] in (*(each.__defaults__ or ()), *(each.__kwdefaults__ or {}).values()):
            early.append(f"{each.__module__}.{each.__qualname__}")
for name, module in list(sys.modules.items()):
    top = name.partition(".")[0]
    if module is None or top in sys.stdlib_module_names or top in {"gevent", "greenlet", "__main__"}:
        continue
    early += [f"{name}.{key}" for key, held in list(vars(module).items()) if held is real[0]]
for each in gc.get_objects():
    kind = type(each).__module__
    if isinstance(kind, str) and kind.startswith("church.") and not kind.startswith("church.observability"):
        early_locks += [f"{kind}.{key}" for key, held in getattr(each, "__dict__", {}).items() if type(held) is real[1]]
print("sleeps that block:", early)
print("locks that block:", early_locks)
from church.observability.record_budget import BUDGET
print("real locks stay:", type(BUDGET._turn) is real[1])
"""


def test_late_patch_leaves_nothing_that_blocks_the_other_greenlets(tmp_path: Path) -> None:
    environment = {
        "CHURCH_ENV_FILE": "",
        "CHURCH_INSTANCE": str(tmp_path / "instance"),
        "CHURCH_LOG_DIR": str(tmp_path / "logs"),
    }
    command = [sys.executable, "-W", "error", "-c", PATCH_LATE]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "others ran while redis waited: True",
        "queue of connections: True",
        "raw socket kept: True",
        "sleeps that block: []",
        "locks that block: []",
        "real locks stay: True",
    ]
