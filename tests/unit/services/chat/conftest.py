"""Members of the chat tests: Ada, and an admin."""

from __future__ import annotations

import pytest
from flask import Flask

from church.services.sessions import SignedIn
from tests.support.chat_fixture import speaker


@pytest.fixture
def ada(at_work: Flask) -> SignedIn:
    """A member."""
    return speaker(at_work)


@pytest.fixture
def boss(at_work: Flask) -> SignedIn:
    """An admin."""
    return speaker(at_work, "Boss", role="admin")
