"""The live connections of one worker: held, pinged, served and told what happens, without a greenlet of their own.

A WebSocket begins as a request (``blueprints.live.ws``), which ends with the handshake: its socket goes to the worker's
``Hub``, where it costs a watcher and a few objects. A greenlet runs while a frame of it is being answered, and only
then; a send is one system call, and has a queue only after the kernel has refused to take more.

frames      RFC 6455: what comes in, checked; what goes out, encoded once for everybody
connection  one socket: reads, sends, its bounded queue, its end
heartbeat   pings and deadlines of all of them, from one timer
hub         all connections of this worker, and their limits
words       the frames of docs/live.md: parsed, checked, made
talk        what is done about each frame of a client
feed        a room as this worker sees it: every change, once, in order
relay       what the other workers say, and whether they can be heard
presence    who is in a room, on any worker
standing    whose sign-in has ended, or what of it has changed
"""

from __future__ import annotations

from church.live.hub import Hub, close_all, hub_of, init_app

__all__ = ["Hub", "close_all", "hub_of", "init_app"]
