"""The pages of the chat rooms: send a message by the form, read the messages of a page."""

from __future__ import annotations

import re

from tests.support.browsing import Browser

HOSTILE = '"><svg onload=x>{{7*7}}</pre>'


def say(browser: Browser, text: str, room: str = "public", **more: str) -> int:
    """Send a message by the form; returns its number."""
    answer = browser.submit(f"/live/{room}", {"message": text, **more})
    assert answer.status_code == 303, answer.text
    return int(answer.location.rpartition("#m")[2])


def bodies(page: str) -> list[str]:
    """The messages of a page, as HTML."""
    return re.findall(r'<div class="message-body">(.*?)</div>\n</li>', page, re.DOTALL)
