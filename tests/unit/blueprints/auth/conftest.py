"""A member and the browser in which she is signed in."""

from __future__ import annotations

import pytest
from flask import Flask

from church.models import User
from tests.support.browsing import Browser
from tests.support.people import add_user


@pytest.fixture
def ada(app: Flask) -> User:
    """A member."""
    return add_user(app)


@pytest.fixture
def browser(app: Flask, ada: User) -> Browser:
    """The browser in which Ada is signed in."""
    return Browser(app, ada)
