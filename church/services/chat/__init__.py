"""Chat rooms: who may join, sending and reading messages, moderation.

Each change of a room is published on ``chat:<room>`` after the commit, as a MessageView in JSON. A new or lifted
mute or ban is published on ``chat:control``. Listeners of this worker get both without the store.
"""

from church.services.chat import (
    account_data,  # noqa: F401 - registers export and deletion
    retention,  # noqa: F401 - registers its job
)
from church.services.chat.errors import ClosedRoomError, MutedError, RateLimitedError, UnknownRoomError
from church.services.chat.history import list_changes, load_message, load_page
from church.services.chat.messages import (
    MAX_MESSAGE_LENGTH,
    MAX_REASON_LENGTH,
    edit_message,
    post_message,
    store_message,
)
from church.services.chat.moderation import (
    close_report,
    count_open_reports,
    delete_message,
    list_reports,
    report_message,
)
from church.services.chat.posting_limits import count_join, set_limiter
from church.services.chat.presenters import MessageView, RoomView, decode_message, shown_name
from church.services.chat.rooms import (
    find_offered_room,
    is_room_open,
    list_banned_rooms,
    list_newest_changes,
    list_rooms,
    load_open_room,
)
from church.services.chat.sanctions import CONTROL_CHANNEL, ban_member, lift_sanction, list_sanctions, mute_member

__all__ = [
    "CONTROL_CHANNEL",
    "MAX_MESSAGE_LENGTH",
    "MAX_REASON_LENGTH",
    "ClosedRoomError",
    "MessageView",
    "MutedError",
    "RateLimitedError",
    "RoomView",
    "UnknownRoomError",
    "ban_member",
    "close_report",
    "count_join",
    "count_open_reports",
    "decode_message",
    "delete_message",
    "edit_message",
    "find_offered_room",
    "is_room_open",
    "lift_sanction",
    "list_banned_rooms",
    "list_changes",
    "list_newest_changes",
    "list_reports",
    "list_rooms",
    "list_sanctions",
    "load_message",
    "load_open_room",
    "load_page",
    "mute_member",
    "post_message",
    "report_message",
    "set_limiter",
    "shown_name",
    "store_message",
]
