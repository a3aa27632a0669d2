"""Fill the queue of passwords that wait for a hash, while a client at another address signs in."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from ops.bench.server import UNLIMITED, Server
from ops.faults.attack import Attack
from ops.faults.members import PASSWORD, Member, add_member

_LOGINS = 34
_CHANGES = 56
_PAUSE = 0.5
_PATIENCE = 30.0
_WRONG = "a password that is wrong"


@dataclass(frozen=True)
class _Members:
    attacker: Member
    owner: Member


def _prepare(server: Server) -> _Members:
    return _Members(add_member(server, "attacker"), add_member(server, "owner"))


def flood(port: int, members: _Members) -> None:
    """Sign in to accounts that do not exist, and change an address with the right password, all at once."""
    change = {"current": PASSWORD, "email": members.attacker.email}
    with ThreadPoolExecutor(_LOGINS + _CHANGES) as pool:
        for number in range(_LOGINS):
            login = {"email": f"nobody{number}@church.example", "password": _WRONG}
            pool.submit(_post, port, "/auth/login", login, "127.0.0.1")
        for _ in range(_CHANGES):
            pool.submit(_post, port, "/auth/account/email", change, "127.0.0.1", members.attacker.token)


@dataclass
class Owner:
    """Signs in twice a second, or as often as the site answers, from other addresses than the attacker's."""

    port: int
    email: str
    times: list[float] = field(default_factory=list)
    refused: int = 0

    def read_for(self, seconds: float) -> Owner:
        """Sign in for so long; returns itself with its times."""
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            body = {"email": self.email, "password": PASSWORD}
            status = _post(self.port, "/auth/login", body, f"127.0.0.{2 + len(self.times) % 200}")
            self.times.append(time.monotonic() - began)
            self.refused += status != 200
            time.sleep(max(0.0, began + _PAUSE - time.monotonic()))
        return self


def _post(port: int, path: str, body: dict[str, str], source: str, token: str = "") -> int:
    """Post JSON on a connection of its own; returns the status, 0 without an answer."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE, source_address=(source, 0))
    with suppress(OSError, http.client.HTTPException):
        connection.request("POST", path, json.dumps(body), headers)
        return connection.getresponse().status
    return 0


ATTACKS = (
    Attack(
        "sign_ins",
        f"{_LOGINS} logins and {_CHANGES} changes of address at once, without pause; the other client signs in",
        flood,
        _prepare,
        settings={f"CHURCH_LIMIT_{name}": UNLIMITED for name in ("LOGIN", "ACCOUNT", "CONFIRMATION")},
        other=lambda port, members: Owner(port, members.owner.email),
    ),
)
