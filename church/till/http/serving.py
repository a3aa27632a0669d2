"""Run the till's process: the web server, and greenlets that deliver webhooks and follow the clock."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

import gevent
from gevent import Greenlet
from gevent.pywsgi import WSGIServer
from gevent.socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, socket

from church.config import ConfigError, load_settings
from church.lib.files import UMASK
from church.till.app import ProductionError, create_till
from church.till.billing.cycle import process_due
from church.till.desk import Till
from church.till.http.sending import Sender

if TYPE_CHECKING:
    from church.config import Settings

log = logging.getLogger("church.till")
_PAUSE = 0.5  # seconds between two searches for due deliveries, if no new one comes
_TICK = 5.0  # seconds between two searches for due renewals


def main() -> int:
    """Serve the till; returns 1 and prints the reason if it can't start."""
    os.umask(UMASK)
    logging.basicConfig(format="test till: %(message)s")
    try:
        return serve(load_settings())
    except (ConfigError, ProductionError) as error:
        print(f"test till: {error}", file=sys.stderr)
        return 1


def serve(settings: Settings) -> int:
    """Serve on ``settings.till_address`` until SIGTERM or SIGINT."""
    if not settings.production and not settings.webhook_secrets:
        raise ConfigError("STRIPE_WEBHOOK_SECRET: missing; the test till signs its webhooks with it")
    app = create_till(settings)
    till: Till = app.extensions["till"]
    try:
        listener = _listen(settings.till_address)
    except OSError as error:
        till.store.close()
        problem = f"cannot listen on {settings.till_address}: {error.strerror}"
        print(f"test till: {problem}. Stop the other server or set CHURCH_TILL_BIND.", file=sys.stderr)
        return 1
    server = WSGIServer(listener, app, log=None)
    workers: list[Greenlet[..., None]] = [
        gevent.spawn(_deliver, till, Sender(till, settings)),
        gevent.spawn(_follow_clock, till),
    ]
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, server.stop, 1)
    server.serve_forever()
    gevent.killall(workers)
    till.store.close()
    return 0


def _listen(address: str) -> socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    listener = socket(AF_INET6 if ":" in host else AF_INET)
    try:
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _deliver(till: Till, sender: Sender) -> None:
    while True:
        till.new_delivery.wait(_PAUSE)
        till.new_delivery.clear()
        try:
            while sender.deliver_due():
                pass
        except Exception:  # one error must not end the deliveries
            log.exception("Webhook delivery failed")
            gevent.sleep(_PAUSE)


def _follow_clock(till: Till) -> None:
    while True:
        try:
            with till.store.transaction():
                process_due(till)
        except Exception:  # one error must not stop the clock
            log.exception("Clock failed")
        gevent.sleep(_TICK)
