"""The browser of an admin, with the forms of the admin area's pages."""

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


class Desk:
    """Signed in as ``user``."""

    def __init__(self, app: Flask, user: User) -> None:
        self.app = app
        self.user = user
        self.client = client_of(app, user)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, headers=headers)

    def data(self, path: str) -> Any:
        """What a program is told at ``path``."""
        found = self.client.get(path, headers=JSON)
        assert found.status_code == 200, found.text
        return found.json

    def send(self, path: str, **fields: str) -> TestResponse:
        """Post a form as the page that is shown would, with its token."""
        page = self.client.get("/admin/").text
        token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
        return self.client.post(path, data={"csrf_token": token, **fields})

    def tell(self, path: str, body: dict[str, Any]) -> TestResponse:
        """The same from a program."""
        return self.client.post(path, json=body, headers=JSON)


def person(app: Flask, email: str, **facts: Any) -> User:
    return add_user(app, email, password_hash="x", **facts)


def within(app: Flask, service: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a service beside the requests: inside of one context, they would all share its ``g``."""
    with app.app_context():
        return service(*args, **kwargs)
