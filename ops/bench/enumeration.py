"""Whether a stranger can tell by the clock which addresses have an account: known against unknown, alternated."""

from __future__ import annotations

import json
import statistics
import time
import urllib.error
import urllib.request

from ops.bench.server import UNLIMITED, Server, serving

_LIMITS = ("LOGIN", "LOGIN_ACCOUNT", "REGISTER", "RESET")
_PASSWORD = "four quiet boats at anchor"
_KNOWN = "known@church.example"


def measure(tries: int) -> float:
    """The largest difference of medians over the spread (interquartile range) among login, register and forgot."""
    with serving(**{f"CHURCH_LIMIT_{name}": UNLIMITED for name in _LIMITS}) as server:
        _post(server, "register", _KNOWN)
        return max(_difference(server, road, tries) for road in ("login", "register", "forgot"))


def _difference(server: Server, road: str, tries: int) -> float:
    known, unknown = [], []
    for number in range(tries):
        known.append(_post(server, road, _KNOWN))
        unknown.append(_post(server, road, f"{road}-{number}@church.example"))
    low, _, high = statistics.quantiles(known + unknown, n=4)
    apart = abs(statistics.median(known) - statistics.median(unknown))
    print(f"  {road}: medians {apart * 1e3:.2f} ms apart, spread {(high - low) * 1e3:.2f} ms")
    return apart / (high - low)


def _post(server: Server, road: str, email: str) -> float:
    """Seconds that the answer took; the password is wrong for a login."""
    password = "this is not the password" if road == "login" else _PASSWORD
    body = json.dumps({"email": email, "password": password, "name": "Ada"}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/auth/{road}", body, headers, method="POST")
    started = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 401:
                raise RuntimeError(f"{road} was answered with {error.code}") from None
    return time.perf_counter() - started
