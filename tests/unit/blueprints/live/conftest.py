"""Members of the chat, and an admin."""

from __future__ import annotations

import pytest
from flask import Flask

from church.models import User
from tests.support.chat_pages import HOSTILE
from tests.support.desk import add_person


@pytest.fixture
def ada(app: Flask) -> User:
    """A member whose name is hostile."""
    return add_person(app, "ada@church.example", name=f"Ada {HOSTILE}")


@pytest.fixture
def bob(app: Flask) -> User:
    """Another member."""
    return add_person(app, "bob@church.example", name="Bob")
