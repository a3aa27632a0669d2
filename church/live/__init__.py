"""Live connections of one worker: WebSockets without a greenlet each, for chat rooms, presence and notifications.

A WebSocket begins as a request (the blueprint ``live``), which ends with the handshake. Its socket then goes to the
worker's hub, where it costs a watcher and a few objects. A greenlet runs only while a message of the client is being
answered. A send is one system call; a queue exists only while the kernel does not take more.

From the parts to the whole (each module imports only modules above it):

websocket_frames    RFC 6455: checks what comes in, encodes what goes out once for everyone
client_messages     the JSON messages of docs/live.md: parse, check, build
connection_limits   connections of an address or a member, counted over all workers
broadcast_receiver  publish to all workers, receive what they publish, know whether that works
pending_writes      the bounded queue of a slow client
connection          one socket: read, send, close
heartbeat           pings and deadlines of all connections, from one timer
room_feed           one chat room: each change once, in order
joined_rooms        the rooms that clients of this worker have joined
presence            who is in a room, on any worker
session_watch       close what belongs to an ended session or a closed room
message_handlers    answer each message of a client
hub                 all connections of this worker; makes and connects the parts
"""

from __future__ import annotations

from church.live.hub import Hub, close_all, close_blocked, hub_of, init_app

__all__ = ["Hub", "close_all", "close_blocked", "hub_of", "init_app"]
