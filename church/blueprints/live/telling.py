"""A message as programs are told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from church.services.chat import MessageView
from church.services.sessions import SignedIn
from church.web.responses import as_data


def as_told(message: MessageView, to: SignedIn) -> Any:
    """The message as JSON; what its author calls it is for the author alone."""
    return as_data(message if message.from_ref == to.ref else replace(message, client_id=None))
