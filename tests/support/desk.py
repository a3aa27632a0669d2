"""The browser of an admin, which submits the forms of the admin area."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask
from werkzeug.test import TestResponse

from church.models.accounts import User
from tests.support.people import add_user, client_of

JSON = {"Accept": "application/json"}
T = TypeVar("T")


class AdminBrowser:
    """A browser in which ``user``, an admin, is signed in."""

    def __init__(self, app: Flask, user: User) -> None:
        self.app = app
        self.user = user
        self.client = client_of(app, user)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, headers=headers)

    def data(self, path: str) -> Any:
        """Fetch ``path`` as JSON."""
        response = self.client.get(path, headers=JSON)
        assert response.status_code == 200, response.text
        return response.json

    def send(self, path: str, **fields: str) -> TestResponse:
        """Post a form with its CSRF token."""
        page = self.client.get("/admin/").text
        token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
        return self.client.post(path, data={"csrf_token": token, **fields})

    def tell(self, path: str, body: dict[str, Any]) -> TestResponse:
        """Post ``body`` as JSON."""
        return self.client.post(path, json=body, headers=JSON)


def add_person(app: Flask, email: str, **facts: Any) -> User:
    return add_user(app, email, password_hash="x", **facts)


def call_in_context(app: Flask, service: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a service in its own app context: in one around requests, they would all share its ``g``."""
    with app.app_context():
        return service(*args, **kwargs)
