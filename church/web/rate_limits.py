"""Rate limits by name: each has a setting, counters and a Retry-After.

Requests are counted by client: an IPv4 address, or an IPv6 /64, which one customer usually has. A customer may also
have a whole /48, so that counts too, against ``NETWORK_FACTOR`` times the limit.

Limits of reading and talking (``SETTLED_SOON``) cost no call to the store, and several workers can exceed them a
little; all others are exact. ``church.store.rate_counters`` says how, by how much, and what a failing store changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from flask import Response, current_app, request

from church import telemetry
from church.config import Settings, parse_rate
from church.extensions import store
from church.lib.network.addresses import CUSTOMER_PREFIX, SITE_PREFIX, network_of
from church.lib.per_process import PerProcess
from church.store import KeyLimit, RateCounters
from church.web.error_pages import error_response

if TYPE_CHECKING:
    from flask import Flask

_V = TypeVar("_V", bound="Callable[..., Any]")
_EXTENSION = "church_rate_counters"
_VIEWS = "client"  # keeps the counts of requests to views apart from those that are counted by hand

NETWORK_FACTOR: Final = 8
"""How many times the limit of one /64 an IPv6 /48 may use."""

SETTLED_SOON: Final = frozenset(
    {
        *("page", "search", "api", "telemetry_api", "vitals", "webhook"),
        *("video", "stream", "upload", "live", "chat", "history"),
    }
)
"""Limits that are counted in the worker. The others guard passwords, links, tokens, money and changes."""


class ClientKey(NamedTuple):
    """A key that a client is counted by, and how many times a limit it may use."""

    key: str
    factor: int


class ViewLimit(NamedTuple):
    """A limit of a view: its name, and when it counts a request (None: always)."""

    name: str
    when: Callable[[], bool] | None


# -- who is counted -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def keys_of(address: str) -> tuple[ClientKey, ...]:
    """The keys that a client is counted by, from the narrowest to the widest."""
    customer, site = network_of(address or "unknown", CUSTOMER_PREFIX), network_of(address or "unknown", SITE_PREFIX)
    narrow = ClientKey(customer, 1)
    return (narrow,) if site == customer else (narrow, ClientKey(site, NETWORK_FACTOR))


def client_keys() -> tuple[ClientKey, ...]:
    """The keys that the client of the current request is counted by; see ``keys_of``."""
    return keys_of(request.remote_addr or "")


def client_key() -> str:
    """The narrowest key of the current request's client."""
    return client_keys()[0].key


# -- limits of views ------------------------------------------------------------------------------------------------


def limited(name: str, when: Callable[[], bool] | None = None) -> Callable[[_V], _V]:
    """Limit requests to a view by the setting ``limit_<name>``; with ``when``, only those for which it is true."""
    if f"limit_{name}" not in Settings.model_fields:
        raise ValueError(f"there is no limit {name}: add limit_{name} to church.config.Settings")

    def declare(view: _V) -> _V:
        view.limits = (ViewLimit(name, when), *limits_of(view))  # type: ignore[attr-defined]
        return view

    return declare


def limits_of(view: Callable[..., Any] | None) -> tuple[ViewLimit, ...]:
    """The limits that ``view`` declares."""
    limits: tuple[ViewLimit, ...] = getattr(view, "limits", ())
    return limits


def count_client(app: Flask, name: str, address: str, purpose: str = _VIEWS) -> int | None:
    """Count a request of ``address`` against the limit ``name``; None within it, else the seconds to wait.

    Needs no request of Flask, only its app. ``purpose`` keeps counts of the same limit apart.
    """
    rate = getattr(app.config["CHURCH"], f"limit_{name}")
    return _counters(app).take(*_limits_of_client(name, rate, purpose, address), exact=name not in SETTLED_SOON)


def refuse_over_limit() -> Response | None:
    """Count a request against the limits of its view; the answer if one of them is exceeded."""
    for name, when in limits_of(current_app.view_functions.get(request.endpoint or "")):
        if when is not None and not when():
            continue
        seconds = count_client(current_app, name, request.remote_addr or "")
        if seconds is not None:
            telemetry.track_rate_limit(name)
            return error_response(429, retry_after=seconds)
    return None


@contextmanager
def unlimited(app: Flask) -> Iterator[None]:
    """Count no request of ``app`` in the block."""
    hooks = app.before_request_funcs[None]
    place = hooks.index(refuse_over_limit)
    del hooks[place]
    try:
        yield
    finally:
        hooks.insert(place, refuse_over_limit)


# -- counting by hand -----------------------------------------------------------------------------------------------


def seconds_until_free(name: str, *key: str, most: int | None = None) -> int | None:
    """Seconds until ``key`` is below the limit ``name`` again; None if it is below now. Counts nothing.

    For limits that are counted by hand, such as failures. ``key`` says who is counted: never an email address in clear
    text. ``most`` replaces the number of the setting.
    """
    limit = _limit(current_app, name, *key)
    return _counters(current_app).seconds_until_free(limit if most is None else limit._replace(amount=most))


def count(name: str, *key: str) -> int:
    """Count one more for ``key``, exactly. Returns the total of the window of the limit ``name``, this one included."""
    return _counters(current_app).add(_limit(current_app, name, *key))


def count_or_wait(name: str, *key: str) -> int | None:
    """Count one more for ``key``. Returns None within the limit, else the seconds until it is free again.

    Of many calls at the same moment, exactly as many get None as the limit allows; with a limit in ``SETTLED_SOON``,
    of those in one worker.
    """
    return _counters(current_app).take(_limit(current_app, name, *key), exact=name not in SETTLED_SOON)


def give_back(name: str, *key: str) -> None:
    """Take back one that was counted for ``key`` against the limit ``name``; the count never falls below zero."""
    _counters(current_app).give_back(_limit(current_app, name, *key))


def reset_count(name: str, *key: str) -> None:
    """Reset what is counted for ``key`` against the limit ``name``."""
    _counters(current_app).reset(_limit(current_app, name, *key))


# -- counters -------------------------------------------------------------------------------------------------------


def _limit(app: Flask, name: str, *key: str) -> KeyLimit:
    return _make_limit(name, getattr(app.config["CHURCH"], f"limit_{name}"), *key)


def _make_limit(name: str, rate: str, *key: str, factor: int = 1) -> KeyLimit:
    quota = parse_rate(rate)
    return KeyLimit(":".join(("limit", name, *key)), quota.amount * factor, quota.seconds)


@lru_cache(maxsize=4096)
def _limits_of_client(name: str, rate: str, purpose: str, address: str) -> tuple[KeyLimit, ...]:
    return tuple(_make_limit(name, rate, purpose, key, factor=factor) for key, factor in keys_of(address))


def _counters(app: Flask) -> RateCounters:
    counters: PerProcess[RateCounters] = app.extensions[_EXTENSION]
    return counters()


def settle(app: Flask) -> bool:
    """Settle this process's counts with the store now instead of soon; False if the store is down."""
    return _counters(app).settle()


def init_app(app: Flask) -> None:
    """Count the requests that reach their view, and answer 429 beyond a limit."""
    app.extensions[_EXTENSION] = PerProcess(lambda: RateCounters(store.client_of(app)))
    app.before_request(refuse_over_limit)
