"""gunicorn's gevent worker, made fair: it yields between requests and bounds every wait for a client."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from ssl import SSLError
from typing import Any, NoReturn

import gevent

# what `patch` uses: here, the master imports it for all workers
import gevent.select
import gevent.selectors
import gevent.signal
import gevent.ssl
import gevent.subprocess
import gevent.threading  # type: ignore[import-not-found]
from gevent.monkey import MonkeyPatchWarning
from gevent.server import StreamServer
from gunicorn.http import errors
from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    NoMoreData,
    ParseException,
)
from gunicorn.workers.ggevent import GeventWorker

from church.lib import cpu_accounts
from church.lib.threads import start_beside
from church.server import early_names
from church.server.blocked_clients import BlockedClients, Tally
from church.server.client_stream import ClientStream
from church.server.known_heads import KnownRequest
from church.server.open_connections import OpenConnections, Place
from church.server.request_body import NO_BODY, RequestBody
from church.server.sendfile import CutShortError, FileSocket
from church.server.whole_answers import WholeAnswer, settle_bodies

WRITE_TIMEOUT = 60.0  # seconds that a client may leave one write waiting
_FULL = 0.9  # share of worker_connections from which on waiting connections make room; gunicorn then stops to accept
_ACCEPTED_AT_ONCE = 32  # connections that begin, and those that are refused or wait, before others get their turn
_ENDED = (ConnectionError, TimeoutError, NoMoreData, SSLError)
_REFUSALS = (
    (errors.LimitRequestLine, 414),
    (errors.LimitRequestHeaders, 431),
    (errors.ExpectationFailed, 417),
    (errors.UnsupportedTransferCoding, 501),
    (InvalidResponseHeader, None),  # a bug of the site
    (InvalidResponseHeaderName, None),
    (errors.ConfigurationProblem, None),
    (ParseException, 400),
)  # errors of gunicorn's parser, and the status that it answers with


class FairServer(StreamServer):
    """Accepts the connections of a FairWorker, which it asks before it spends a greenlet on one.

    The first of a burst is accepted alone, since the next may go to another worker. As long as connections wait, twice
    as many are accepted each time: between two times, each open connection may have a request answered.
    """

    max_accept = 1

    def __init__(self, listener: Any, *, handler_class: FairWorker, spawn: Any, **options: Any) -> None:
        """Serve ``listener``; gunicorn passes the worker as ``handler_class``."""
        self._worker = handler_class
        handler_class.encryption = options.get("ssl_context")
        super().__init__(listener, handle=partial(handler_class.handle, listener.getsockname()), spawn=spawn)

    def do_read(self) -> Any:
        """Accept a connection that can begin now; None if there is none. gevent calls it ``max_accept`` times."""
        accepted = self._accept_to_begin()
        self.max_accept = 1 if accepted is None else min(self.max_accept + 1, _ACCEPTED_AT_ONCE)
        return accepted

    def _accept_to_begin(self) -> Any:
        """Accept a connection that can begin now, after those of busy addresses: they are refused, or wait."""
        for _ in range(_ACCEPTED_AT_ONCE):
            accepted: Any = None if self.full() else super().do_read()
            if accepted is None:
                break
            place = self._worker.admit(*accepted)
            if place is not None and not place.pause:
                return accepted
            if place is not None:
                self.do_handle(*accepted)
        return None


class FairWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves the site: starts telemetry before it loads the app, and yields between requests.

    The stock worker runs pipelined keep-alive requests back to back: with 16 connections the last one waits for all
    others (p99 145 ms, against 9 ms with a yield).
    """

    server_class = FairServer
    encryption: Any = None
    """The TLS context of connections that are encrypted in this process; usually None, because a proxy does it."""
    wsgi: Any
    alive: bool
    _start_stopping: Callable[[], None] = staticmethod(lambda: None)  # until the site is loaded
    _find_reply: Callable[[Any, Any], Any] = staticmethod(lambda *_: None)  # until the site is loaded
    _refuses_peer: Callable[[str], bool] = staticmethod(lambda _peer: False)  # until the site is loaded
    _refuses: Callable[[Any, str], bool] = staticmethod(lambda *_: False)  # until the site is loaded

    def patch(self) -> None:
        """Let gevent patch Python in this process alone, and what the master has imported by name."""
        with warnings.catch_warnings(), early_names.known_plugins():
            warnings.simplefilter("ignore", MonkeyPatchWarning)  # it names modules that are set right below
            super().patch()
        early_names.renew()

    def init_signals(self) -> None:
        """Handle signals from now on, also those that the master has held back since the fork."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())

    def load_wsgi(self) -> None:
        """Start telemetry, then take over the app of the master, or make one."""
        gc.disable()  # loading makes no garbage worth an eighth of its time
        from church import config, live, telemetry  # noqa: PLC0415 - the master listens before it imports the site
        from church.server.kept_answers import Door  # noqa: PLC0415
        from church.web import answer_cache, blocks, headers, maintenance, proxies  # noqa: PLC0415

        settings = config.load_settings()
        self._body_seconds = settings.body_timeout
        telemetry.start_process(settings, "web")
        self._end = telemetry.end_process
        self._end_live = live.close_all
        self._start_stopping = maintenance.start_stopping
        self._refuse = telemetry.track_refused
        self._each_second = telemetry.each_second
        self._headers = headers.default_headers(settings)
        self._too_many = _fixed_answer(429, self._headers, **{"Retry-After": str(self.cfg.keepalive)})
        self._forbidden = _fixed_answer(403, {**self._headers, "Cache-Control": "no-store"})
        self._turned_away = Tally(telemetry.track_connections_refused)
        self._blocked = Tally(telemetry.track_blocked)
        self._admitted: dict[int, Place] = {}  # by the connection's descriptor, until it is served
        network_of = proxies.counting_by_network(settings.trusted_proxies)
        places = int(self.worker_connections * _FULL)
        self._connections = OpenConnections(places, settings.connections_per_address, network_of)
        super().load_wsgi()
        telemetry.expect_failures(self.wsgi)
        self._find_reply = Door(self.wsgi, settings).find
        self._refuse_blocked(blocks.watch_of(self.wsgi), live.close_blocked)
        self.wsgi = settle_bodies(answer_cache.collect_drafts(self.wsgi))
        gc.freeze()  # loaded modules stay: collecting them again would stop all requests for 50 ms
        gc.enable()

    def _refuse_blocked(self, watch: Any, close_live: Callable[..., list[str]]) -> None:
        """Refuse clients of blocked networks from now on, and go on watching which ones are blocked."""
        blocked = BlockedClients(watch, self._blocked, close_live)
        self._streams = blocked.streams
        self._refuses_peer, self._refuses = blocked.refuses_peer, blocked.refuses
        start_beside("blocks", watch.run)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop, on SIGTERM: open connections are served for a while, and learn from ``/ready`` that it is the end."""
        super().handle_exit(sig, frame)
        self._start_stopping()

    def run(self) -> None:
        """Serve until the worker is stopped, then write what is still queued."""
        try:
            super().run()
        finally:
            self._end_live()
            self._turned_away.report()
            self._blocked.report()
            self._end()

    def notify(self) -> None:
        """Tell the master, every second, that this worker is alive. When it stops, close chat connections first."""
        super().notify()
        self._each_second()
        if not self.alive:
            self._end_live()

    @property
    def wsgi_handler(self) -> FairWorker:
        """What gunicorn gives to ``server_class``."""
        return self

    def admit(self, client: Any, address: Any) -> Place | None:
        """Give a new connection its place. If there is none, it gets a fixed answer, which must not cost a greenlet."""
        peer = _peer(address)
        if self._refuses_peer(peer):
            self._turn_away(client, self._forbidden)
            return None
        place = self._connections.enter(client, peer)
        if place is None:
            self._turn_away(client, self._too_many)
            self._turned_away.add(peer)
            return None
        self._admitted[client.fileno()] = place
        return place

    def _turn_away(self, client: Any, answer: bytes) -> None:
        """Close a new connection, with an answer if it is not encrypted."""
        if self.encryption is None:
            with suppress(OSError):
                os.write(client.fileno(), answer)  # a new connection takes it at once
        client.close()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection. ``listener`` is the address that it came to."""
        place = self._admitted.pop(client.fileno())
        place.sock = client
        try:
            with cpu_accounts.connection():
                if place.pause:
                    gevent.sleep(place.pause)
                place.sock = self._open(client)
                self._serve(listener, ClientStream(place.sock, place, _peer(addr)), addr)
        except OSError as error:
            if not isinstance(error, _ENDED) and error.errno != errno.ENOTCONN:
                self.log.exception("Socket error processing request.")
        finally:
            place.leave()
            place.sock.close()

    def _open(self, client: Any) -> Any:
        """A plain connection sends files by sendfile; one with TLS in this process can't."""
        client.setblocking(True)
        if self.encryption is None:
            return FileSocket.over(client)
        with gevent.Timeout(self.cfg.keepalive, TimeoutError()):
            return self.encryption.wrap_socket(client, server_side=True)

    def _serve(self, listener: Any, stream: ClientStream, addr: Any) -> None:
        """Answer one request after another, until either side ends the connection."""
        request = None
        self._streams.add(stream)
        try:
            for number in itertools.count(1):
                request = stream.request = None
                if not stream.await_head(self.cfg.limit_request_line, self.cfg.keepalive):
                    return
                request = stream.request = KnownRequest(self.cfg, stream, addr, number)
                if _asks_to_close(request):
                    request.force_close()
                self.handle_request(listener, request, stream.sock, addr)
        except StopIteration:
            if request is not None and not request.body.reader.is_finished:
                stream.linger()
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, this connection gets an answer
            self.handle_error(request, stream.sock, addr, error)
            stream.linger()
        finally:
            self._streams.discard(stream)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request. Raises StopIteration to end the connection."""
        if self._refuses(req, _peer(addr)):
            self._forbid(req, sock)
        reply = self._find_reply(req, addr)
        if reply is not None:
            self._send(reply, req, sock)
            return
        body = req.body.reader = RequestBody(req, self._body_seconds)
        sock.settimeout(max(WRITE_TIMEOUT, self._body_seconds))
        try:
            super().handle_request(listener_name, req, sock, addr)
        except CutShortError:
            raise StopIteration from None
        finally:
            req.unreader.place.work()
        if not body.is_finished:
            raise StopIteration

    def _forbid(self, req: Any, sock: Any) -> NoReturn:
        """Answer the request of a blocked client, and end its connection."""
        req.body.reader = RequestBody(req, self._body_seconds)  # knows whether the client is still sending
        sock.settimeout(1)
        sock.sendall(self._forbidden)
        raise StopIteration

    def is_already_handled(self, respiter: Any) -> bool:
        """Send an answer that came whole; gunicorn asks this of each. Raises StopIteration to end the connection."""
        if not isinstance(respiter, WholeAnswer):
            return bool(super().is_already_handled(respiter))
        closes = not self.alive or not self.cfg.keepalive or respiter.request.should_close()
        try:
            respiter.send(closes)
        except OSError:
            raise
        except Exception:
            self.log.exception("Error handling request")
            closes = True  # part of it may be sent
        if closes:
            raise StopIteration
        return True

    def _send(self, reply: Any, req: Any, sock: Any) -> None:
        """Send a kept answer, with what gunicorn does around one."""
        req.body.reader = NO_BODY
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        closes = not self.alive or not self.cfg.keepalive or req.should_close()
        sock.settimeout(WRITE_TIMEOUT)
        reply.send(sock, closes)
        if closes:
            raise StopIteration

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a malformed request with a fixed text, the site's headers and a request ID, and count it."""
        status = next((code for kind, code in _REFUSALS if isinstance(exc, kind)), None)
        if status is None:
            # without the request: gunicorn logs its path, which may be a secret link
            super().handle_error(None, client, addr, exc)
            return
        request_id = self._refuse(status, type(exc).__name__, _peer(addr))
        with suppress(OSError):
            client.settimeout(1)
            client.sendall(_fixed_answer(status, self._headers, **{"X-Request-ID": request_id}))


def _asks_to_close(request: Any) -> bool:
    """Whether ``close`` is among the options of the connection: gunicorn notices it only if it is the only one."""
    options = ",".join(value for name, value in request.headers if name == "CONNECTION").lower().split(",")
    return any(option.strip(" \t") == "close" for option in options)


def _peer(address: Any) -> str:
    """The peer's IP address; empty for a Unix socket."""
    return str(address[0]) if address and isinstance(address, tuple) else ""


def _fixed_answer(status: int, site_headers: dict[str, str], **own: str) -> bytes:
    """An answer that the app has no part in, and after which the connection closes."""
    phrase = HTTPStatus(status).phrase
    note = own.get("X-Request-ID", "")
    body = f"<!doctype html><html lang=en><title>{phrase}</title><h1>{phrase}</h1><p>{note}</p></html>"
    headers = {
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Type": "text/html; charset=utf-8",
        **site_headers,
        **own,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n{body}".encode()
