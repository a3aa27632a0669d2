"""Benchmark user enumeration: can response times reveal which email addresses have an account?

Requests for a known and an unknown address alternate.
"""

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
    """Return the largest difference of medians over the interquartile range, of login, register and forgot."""
    with serving(**{f"CHURCH_LIMIT_{name}": UNLIMITED for name in _LIMITS}) as server:
        _post(server, "register", _KNOWN)
        return max(_difference(server, form, tries) for form in ("login", "register", "forgot"))


def _difference(server: Server, form: str, tries: int) -> float:
    known, unknown = [], []
    for number in range(tries):
        known.append(_post(server, form, _KNOWN))
        unknown.append(_post(server, form, f"{form}-{number}@church.example"))
    low, _, high = statistics.quantiles(known + unknown, n=4)
    difference = abs(statistics.median(known) - statistics.median(unknown))
    print(f"  {form}: medians {difference * 1e3:.2f} ms apart, spread {(high - low) * 1e3:.2f} ms")
    return difference / (high - low)


def _post(server: Server, form: str, email: str) -> float:
    """Send a form and return the seconds until its response. Logins use a wrong password."""
    password = "this is not the password" if form == "login" else _PASSWORD
    body = json.dumps({"email": email, "password": password, "name": "Ada"}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/auth/{form}", body, headers, method="POST")
    started = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            response.read()
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 401:
                raise RuntimeError(f"{form} returned {error.code}") from None
    return time.perf_counter() - started
