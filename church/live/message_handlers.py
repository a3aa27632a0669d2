"""Answer each message of a client, one after the other, in a greenlet that ends when no message waits."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NoReturn

import gevent

from church import telemetry
from church.config import current_settings
from church.errors import ChurchError, ForbiddenError, UnauthorizedError, UnavailableError
from church.live import client_messages, websocket_frames
from church.live.broadcast_receiver import TYPING, BroadcastReceiver
from church.live.client_messages import ClientMessage, InvalidMessageError
from church.live.connection import Connection
from church.live.joined_rooms import JoinedRooms
from church.live.member_limits import MemberLimits
from church.live.presence import Presence
from church.services import chat, member_tokens, sessions
from church.services.chat import RateLimitedError
from church.services.sessions import SignedIn

_TYPING_SECONDS = 2.0  # between two typing frames of one client that are passed on
_REFUSAL_COST = 4.0  # frames that a refused one costs its sender's budgets, beside itself
_LIMITS = {"chat": "chat", "subscribe_room": "history", "history": "history"}  # the rate limit of a message type

log = logging.getLogger("church.live")


class SignedOutError(ChurchError):
    """The session has ended, and the connection is closing."""

    status = 401
    code = "unauthenticated"


class MessageHandlers:
    """The handler of each message type.

    ``admit`` registers a connection under its member, and is False where the member has too many connections.
    ``limits`` keep what the member's connections share.
    ``guarded`` runs a function in the app's context, and logs what it raises.
    """

    def __init__(
        self,
        admit: Callable[[Connection, SignedIn], bool],
        limits: MemberLimits,
        rooms: JoinedRooms,
        presence: Presence,
        relay: BroadcastReceiver,
        guarded: Callable[..., bool],
    ) -> None:
        self._admit = admit
        self._limits = limits
        self._rooms = rooms
        self._presence = presence
        self._relay = relay
        self._guarded = guarded
        self._handlers = {
            "auth": self._on_auth,
            "ping": self._on_ping,
            "subscribe_room": self._on_subscribe,
            "leave_room": self._on_leave,
            "chat": self._on_chat,
            "history": self._on_history,
            "presence": self._on_presence,
            "typing": self._on_typing,
        }

    def hear(self, connection: Connection, text: str) -> None:
        """Queue ``text`` to be answered after the client's earlier messages; returns at once."""
        if connection.inbox is None:
            connection.inbox = deque()
            gevent.spawn(self._serve, connection, connection.inbox)
        connection.inbox.append(text)

    @telemetry.charge_live
    def _serve(self, connection: Connection, inbox: deque[str]) -> None:
        while inbox and connection.is_open:
            self._guarded(self._answer, connection, inbox.popleft())
        connection.inbox = None
        connection.resume()

    def _answer(self, connection: Connection, text: str) -> None:
        try:
            message = client_messages.parse_message(text)
        except InvalidMessageError as error:
            with telemetry.live_message(connection.handshake, "unreadable", connection.ref or None):
                answer: bytes | None = client_messages.error_frame("invalid", error.detail)
        else:
            answer = self._refuse_again(connection, message)
            if answer is None:
                with telemetry.live_message(connection.handshake, message.kind, connection.ref or None):
                    answer = self._handle(connection, message)
        if answer is not None:
            connection.send_message("error", answer)
            connection.spend(_REFUSAL_COST)

    def _refuse_again(self, connection: Connection, message: ClientMessage) -> bytes | None:
        """The error frame for a message whose rate limit has refused the member before, until that is over."""
        limit = _LIMITS.get(message.kind)
        seconds = self._limits.seconds_refused(connection.ref, limit) if limit is not None else None
        if limit is None or seconds is None:
            return None
        telemetry.track_live_refused(message.kind, limit)
        return _refusal(RateLimitedError(seconds), message.about(connection.rooms))

    def _handle(self, connection: Connection, message: ClientMessage) -> bytes | None:
        """Do what the message requests; returns an error frame if that fails."""
        about = message.about(connection.rooms)
        handler = self._handlers.get(message.kind)
        if handler is None:
            return client_messages.error_frame("unknown_type", "Unknown message type.")
        if connection.signed_in is None and message.kind not in {"auth", "ping"}:
            return client_messages.error_frame("unauthenticated", "Send auth first.", **about)
        try:
            handler(connection, message)
        except InvalidMessageError as error:
            return client_messages.error_frame("invalid", error.detail, **about)
        except ChurchError as error:
            if isinstance(error, ForbiddenError):
                about["room"] = message.room  # the room exists, and is closed to the member
            if isinstance(error, RateLimitedError) and error.retry_after is not None:
                self._limits.refuse(connection.ref, _LIMITS[message.kind], error.retry_after)
            return _refusal(error, about)
        except Exception:
            log.exception("live message failed", extra={"event": "live.frame_failed", "kind": message.kind})
            return client_messages.error_frame(
                "failed", "Something went wrong on our side. We have logged it.", **about
            )
        return None

    # -- signing in ----------------------------------------------------------------------------------------------------

    def _on_auth(self, connection: Connection, message: ClientMessage) -> None:
        token = message.optional("token")
        try:
            signed_in, until = _authenticate(connection, token)
        except UnavailableError:
            telemetry.track_auth_attempt("websocket", "failed_error")
            raise
        if not connection.is_open:
            return  # it closed during the lookup: registered now, it would never leave the member's count again
        if signed_in is None:
            self._reject(connection, websocket_frames.UNAUTHENTICATED, "failed_credentials", "You are not signed in.")
        elif not signed_in.is_member or (connection.ref and connection.ref != signed_in.ref):
            self._reject(
                connection, websocket_frames.FORBIDDEN, "failed_credentials", "You do not have access to live chat."
            )
        elif not self._admit(connection, signed_in):
            telemetry.track_live_opened("refused_member")
            self._reject(
                connection, websocket_frames.TOO_MANY, "failed_throttled", "You have too many connections open."
            )
        else:
            connection.until = until
            telemetry.track_auth_attempt("websocket", "success", user_ref=signed_in.ref)
            success = client_messages.build_frame("auth_success", ref=signed_in.ref, name=signed_in.name)
            connection.send_message("auth_success", success)

    def _reject(self, connection: Connection, code: int, outcome: str, detail: str) -> None:
        telemetry.track_auth_attempt("websocket", outcome)
        if code != websocket_frames.TOO_MANY:
            telemetry.track_live_opened("refused_sign_in")
        connection.send_message("auth_failed", client_messages.build_frame("auth_failed", code=outcome, detail=detail))
        connection.close(code, detail, "unauthenticated")

    def _refresh_member(self, connection: Connection) -> SignedIn:
        """Look up the member's session again. Raises SignedOutError, and closes the connection, if it has ended."""
        before = connection.signed_in
        now = sessions.load_ref(before.session_ref, before.ref) if before is not None else None
        return self._keep_member(connection, now)

    def _peek_member(self, connection: Connection) -> tuple[SignedIn, bool]:
        """Like ``_refresh_member`` without reading the database, and whether the session was checked just now."""
        before = connection.signed_in
        if before is None:
            return self._keep_member(connection, None), False
        is_checked, now = sessions.peek_ref(before.session_ref, before.ref)
        return self._keep_member(connection, now if is_checked else before), is_checked

    def _keep_member(self, connection: Connection, now: SignedIn | None) -> SignedIn:
        if now is None or (connection.until is not None and connection.until <= time.time()):
            self._end(connection)
        connection.signed_in = now
        return now

    def _end(self, connection: Connection) -> NoReturn:
        connection.close(websocket_frames.UNAUTHENTICATED, "session ended", "signed_out")
        raise SignedOutError

    # -- rooms ---------------------------------------------------------------------------------------------------------

    def _on_ping(self, connection: Connection, _message: ClientMessage) -> None:
        connection.send_message("pong", client_messages.PONG)

    def _on_subscribe(self, connection: Connection, message: ClientMessage) -> None:
        self._join(connection, message.room, None)

    def _on_history(self, connection: Connection, message: ClientMessage) -> None:
        after = message.number("after")
        if after is None:
            raise InvalidMessageError("after has to be a whole number")
        self._join(connection, message.room, after)

    def _join(self, connection: Connection, name: str, after: int | None) -> None:
        member = self._refresh_member(connection)
        chat.count_join(member)
        room = chat.load_open_room(member, name)
        self._rooms.join(connection, room, after)
        if connection.is_open:
            self._presence.show(connection, room.name)

    def _on_leave(self, connection: Connection, message: ClientMessage) -> None:
        self._rooms.leave(connection, message.room)

    def _on_chat(self, connection: Connection, message: ClientMessage) -> None:
        room, text, client_id = message.room, message.text("message"), message.text("client_id")
        member, is_checked = self._peek_member(connection)
        try:
            stored = chat.store_message(member, room, text, client_id, _refuse_attacks, is_unchecked=not is_checked)
        except UnauthorizedError:
            self._end(connection)
        feed, view = self._rooms.feeds.get(room), stored.view
        if not stored.is_new or feed is None or connection not in feed.members:
            # A repeated message, or one to a room that its author has not joined: no feed sends it.
            connection.send_message("chat", client_messages.chat_frame(view, view.client_id))

    def _on_presence(self, connection: Connection, message: ClientMessage) -> None:
        self._presence.show(connection, self._joined_room(connection, message))

    def _on_typing(self, connection: Connection, message: ClientMessage) -> None:
        room, member = self._joined_room(connection, message), connection.signed_in
        if member is None or time.monotonic() - connection.typed_at < _TYPING_SECONDS:
            return
        connection.typed_at = time.monotonic()
        if chat.load_open_room(member, room).muted:
            return  # a muted member cannot send a message, so do not announce one
        person = client_messages.member_fields(member.ref, member.name, is_admin=member.is_admin)
        self._rooms.show_typing(room, person)
        self._relay.publish(TYPING, {"room": room, "from": person})

    def _joined_room(self, connection: Connection, message: ClientMessage) -> str:
        """The message's room, if the client has joined it. Raises InvalidMessageError otherwise."""
        if message.room not in connection.rooms:
            raise InvalidMessageError("join the room first")
        return message.room


def _refusal(error: ChurchError, about: dict[str, str]) -> bytes:
    code = "unavailable" if isinstance(error, UnavailableError) else getattr(error, "code", "refused")
    return client_messages.error_frame(code, str(error), retry_after=error.retry_after, **about)


def _refuse_attacks(text: str) -> None:
    """Scan a message for attacks. Raises InvalidMessageError for one, where the site blocks them."""
    if telemetry.track_live_text(text) and current_settings().threats == "block":
        telemetry.track_security_event("request_blocked", "high")
        raise InvalidMessageError("Your message looks like an attack on a website. It was not sent.")


def _authenticate(connection: Connection, token: str | None) -> tuple[SignedIn | None, float | None]:
    """Look up an access token, and when it expires; without a token, the cookie that came with the handshake."""
    if token is not None:
        shown = member_tokens.verify_token(token)
        return (shown.signed_in, shown.until) if shown is not None else (None, None)
    return (sessions.load_ref(*connection.cookie) if connection.cookie is not None else None), None
