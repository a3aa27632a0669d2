"""Chat rooms: who may join, sending and reading messages, moderation.

Each change of a room is published on ``chat:<room>`` after the commit, as a MessageView in JSON. A new or lifted
mute or ban is published on ``chat:control``. Listeners of this worker get both without the store.
"""

from church.services.chat import account_data as _account_data  # noqa: F401 - registers the export and the deletion
from church.services.chat.errors import (
    BannedError,
    ClosedRoomError,
    MutedError,
    NotYoursError,
    RateLimitedError,
    TextError,
    UnknownMessageError,
    UnknownRoomError,
)
from church.services.chat.history import before, message, page, since
from church.services.chat.messages import LONGEST, LONGEST_REASON, edit, post
from church.services.chat.moderation import (
    ReportView,
    UnknownReportError,
    delete,
    open_reports,
    remove,
    report,
    reports,
    settle,
)
from church.services.chat.posting_limits import keep_entry_pace, set_limiter
from church.services.chat.presenters import MessageView, RoomPage, RoomView, decode, encode
from church.services.chat.retention import purge
from church.services.chat.rooms import banned, heads, list_rooms, may_enter
from church.services.chat.sanctions import CONTROL, SanctionView, UnknownSanctionError, ban, lift, list_sanctions, mute
from church.services.live_broadcast import on_change

__all__ = [
    "CONTROL",
    "LONGEST",
    "LONGEST_REASON",
    "BannedError",
    "ClosedRoomError",
    "MessageView",
    "MutedError",
    "NotYoursError",
    "RateLimitedError",
    "ReportView",
    "RoomPage",
    "RoomView",
    "SanctionView",
    "TextError",
    "UnknownMessageError",
    "UnknownReportError",
    "UnknownRoomError",
    "UnknownSanctionError",
    "ban",
    "banned",
    "before",
    "decode",
    "delete",
    "edit",
    "encode",
    "heads",
    "keep_entry_pace",
    "lift",
    "list_rooms",
    "list_sanctions",
    "may_enter",
    "message",
    "mute",
    "on_change",
    "open_reports",
    "page",
    "post",
    "purge",
    "remove",
    "report",
    "reports",
    "set_limiter",
    "settle",
    "since",
]
