"""What is done about what a client says: one thing after the other, in a greenlet that ends when nothing waits."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING

import gevent

from church import telemetry
from church.config import current_settings
from church.errors import ChurchError, ForbiddenError, UnavailableError
from church.live import broadcast_receiver, client_messages, websocket_frames
from church.live.client_messages import Said, WordsError
from church.services import chat, member_tokens, sessions
from church.services.sessions import SignedIn

if TYPE_CHECKING:
    from church.live.connection import Connection
    from church.live.hub import Hub

_TYPING_SECONDS = 2.0  # between two words that somebody writes

log = logging.getLogger("church.live")


class Talk:
    """The answers of a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._answers = {
            "auth": self._auth,
            "ping": self._ping,
            "subscribe_room": self._subscribe,
            "leave_room": self._leave,
            "chat": self._chat,
            "history": self._history,
            "presence": self._presence,
            "typing": self._typing,
        }

    def hear(self, connection: Connection, text: str) -> None:
        """Answer ``text`` when what was said before it is answered; returns at once."""
        if connection.inbox is None:
            connection.inbox = deque()
            gevent.spawn(self._serve, connection, connection.inbox)
        connection.inbox.append(text)

    def _serve(self, connection: Connection, inbox: deque[str]) -> None:
        while inbox and connection.is_open:
            self._hub.guarded(self._answer, connection, inbox.popleft())
        connection.inbox = None
        connection.resume()

    def _answer(self, connection: Connection, text: str) -> None:
        try:
            said = client_messages.read(text)
        except WordsError as error:
            with telemetry.live_message(connection.handshake, "unreadable", connection.ref or None):
                answer: bytes | None = client_messages.error("invalid", error.detail)
        else:
            with telemetry.live_message(connection.handshake, said.kind, connection.ref or None):
                answer = self._done(connection, said)
        if answer is not None:
            self._hub.say(connection, "error", answer)

    def _done(self, connection: Connection, said: Said) -> bytes | None:
        """Do what is asked; the frame that says why not, if not."""
        about = said.about(connection.rooms)
        answer = self._answers.get(said.kind)
        if answer is None:
            return client_messages.error("unknown_type", "There is no such frame.")
        if connection.signed_in is None and said.kind not in {"auth", "ping"}:
            return client_messages.error("unauthenticated", "Say who you are first.", **about)
        try:
            answer(connection, said)
        except WordsError as error:
            return client_messages.error("invalid", error.detail, **about)
        except ChurchError as error:
            code = "unavailable" if isinstance(error, UnavailableError) else getattr(error, "code", "refused")
            if isinstance(error, ForbiddenError):
                about["room"] = said.room  # there is one of this name, and it is not open
            return client_messages.error(code, str(error), retry_after=error.retry_after, **about)
        except Exception:
            log.exception("a frame failed", extra={"event": "live.frame_failed", "kind": said.kind})
            return client_messages.error("failed", "Something broke on our side. It has been written down.", **about)
        return None

    # -- who it is -----------------------------------------------------------------------------------------------------

    def _auth(self, connection: Connection, said: Said) -> None:
        token = said.optional("token")
        try:
            found, until = _known(connection, token)
        except UnavailableError:
            telemetry.track_auth_attempt("websocket", "failed_error")
            raise
        if not connection.is_open:
            return  # it went while we looked: nobody would ever take it off the member's count again
        if found is None:
            self._turn_away(
                connection, websocket_frames.UNAUTHENTICATED, "failed_credentials", "This sign-in is not good."
            )
        elif not found.is_member or (connection.ref and connection.ref != found.ref):
            self._turn_away(connection, websocket_frames.FORBIDDEN, "failed_credentials", "This is not open to you.")
        elif not self._hub.admit(connection, found):
            telemetry.track_live_opened("refused_member")
            self._turn_away(
                connection, websocket_frames.TOO_MANY, "failed_throttled", "You have too many connections open."
            )
        else:
            connection.until = until
            telemetry.track_auth_attempt("websocket", "success", user_ref=found.ref)
            self._hub.say(
                connection, "auth_success", client_messages.frame("auth_success", ref=found.ref, name=found.name)
            )

    def _turn_away(self, connection: Connection, code: int, outcome: str, detail: str) -> None:
        telemetry.track_auth_attempt("websocket", outcome)
        if code != websocket_frames.TOO_MANY:
            telemetry.track_live_opened("refused_sign_in")
        self._hub.say(connection, "auth_failed", client_messages.frame("auth_failed", code=outcome, detail=detail))
        connection.close(code, detail, "unauthenticated")

    def _member(self, connection: Connection) -> SignedIn:
        """Whose it is, as it stands now. Raises SignedOutError, and ends the connection, if the sign-in has ended."""
        known = connection.signed_in
        found = sessions.load_ref(known.session_ref, known.ref) if known is not None else None
        if found is None or (connection.until is not None and connection.until <= time.time()):
            connection.close(websocket_frames.UNAUTHENTICATED, "the sign-in has ended", "signed_out")
            raise SignedOutError
        connection.signed_in = found
        return found

    # -- what it wants -------------------------------------------------------------------------------------------------

    def _ping(self, connection: Connection, _said: Said) -> None:
        self._hub.say(connection, "pong", client_messages.PONG)

    def _subscribe(self, connection: Connection, said: Said) -> None:
        self._join(connection, said.room, None)

    def _history(self, connection: Connection, said: Said) -> None:
        after = said.number("after")
        if after is None:
            raise WordsError("after has to be a whole number")
        self._join(connection, said.room, after)

    def _join(self, connection: Connection, name: str, after: int | None) -> None:
        member = self._member(connection)
        chat.keep_entry_pace(member)
        room = chat.may_enter(member, name)
        self._hub.rooms.join(connection, room, after)
        if connection.is_open:
            self._hub.presence.show(connection, room.name)

    def _leave(self, connection: Connection, said: Said) -> None:
        self._hub.rooms.leave(connection, said.room)

    def _chat(self, connection: Connection, said: Said) -> None:
        room, text, client_id = said.room, said.text("message"), said.text("client_id")
        member = self._member(connection)
        feed = self._hub.rooms.feeds.get(room)
        told = feed.last if feed is not None else 0
        view = chat.post(member, room, text, client_id, _inspect)
        if view.changed <= told or feed is None or connection not in feed.members:
            # It was said before, or to a room that its author is not in: no feed tells them.
            self._hub.say(connection, "chat", client_messages.chat(view, view.client_id))

    def _presence(self, connection: Connection, said: Said) -> None:
        self._hub.presence.show(connection, self._entered(connection, said))

    def _typing(self, connection: Connection, said: Said) -> None:
        room, member = self._entered(connection, said), connection.signed_in
        if member is None or time.monotonic() - connection.typed_at < _TYPING_SECONDS:
            return
        connection.typed_at = time.monotonic()
        if chat.may_enter(member, room).muted:
            return  # whoever may not speak is not seen to be about to
        person = client_messages.person(member.ref, member.name, is_admin=member.is_admin)
        self._hub.typing(room, person)
        self._hub.relay.publish(broadcast_receiver.TYPING, {"room": room, "from": person})

    def _entered(self, connection: Connection, said: Said) -> str:
        """The room that is meant, if the client is in it. Raises WordsError."""
        if said.room not in connection.rooms:
            raise WordsError("enter the room first")
        return said.room


def _inspect(text: str) -> None:
    """Look for an attack in what will be said. Raises WordsError for one, where the site blocks them."""
    if telemetry.track_live_text(text) and current_settings().threats == "block":
        telemetry.track_security_event("request_blocked", "high")
        raise WordsError("this is not taken")


class SignedOutError(ChurchError):
    """The sign-in has ended, and the connection with it."""

    status = 401
    code = "unauthenticated"


def _known(connection: Connection, token: str | None) -> tuple[SignedIn | None, float | None]:
    """Whose token it is and until when, or without one whose cookie came with the handshake."""
    if token is not None:
        shown = member_tokens.shown(token)
        return (shown.signed_in, shown.until) if shown is not None else (None, None)
    return (sessions.load_ref(*connection.cookie) if connection.cookie is not None else None), None
