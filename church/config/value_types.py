"""Types of setting values. The error for a wrong value completes the sentence "expected …"."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from church.lib.colors import parse_color, to_hex
from church.lib.email_addresses import to_wire

_RATE = re.compile(r"([1-9][0-9]{0,11})/(second|minute|hour|day)")
_WINDOWS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?")


class Quota(NamedTuple):
    """At most ``amount`` in a window of ``seconds``."""

    amount: int
    seconds: int


@lru_cache(maxsize=256)
def parse_rate(value: str) -> Quota:
    """Parse a limit such as 30/minute."""
    match = _RATE.fullmatch(value)
    if match is None:
        raise ValueError("a count and a window such as 30/minute (second, minute, hour or day)")
    return Quota(int(match[1]), _WINDOWS[match[2]])


def _is_rate(value: str) -> str:
    parse_rate(value)
    return value


def _is_origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("a scheme and a host such as https://church.example, without a path")
    parts = urlsplit(value)
    if parts.port == 0:
        raise ValueError("a port from 1 to 65535")
    return f"{parts.scheme}://{parts.netloc}"


def _is_postgresql(value: SecretStr) -> SecretStr:
    if not re.match(r"postgres(ql)?(\+psycopg)?://.", value.get_secret_value()):
        raise ValueError("an address such as postgresql://user:password@host/database")
    return value


def _is_redis(value: SecretStr) -> SecretStr:
    if not re.match(r"(rediss?|unix)://.", value.get_secret_value()):
        raise ValueError("an address such as redis://host:6379/0")
    return value


def _is_smtp(value: SecretStr) -> SecretStr:
    if not re.match(r"smtps?://.", value.get_secret_value()):
        raise ValueError("an address such as smtp://user:password@host:587 or smtps://host:465")
    return value


def _is_mailbox(value: str) -> str:
    try:
        to_wire(value)
    except ValueError:
        raise ValueError("an email address such as church@church.example") from None
    return value


def _is_bind(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("an address and a port such as 127.0.0.1:8000")
    return value


def _is_color(value: str) -> str:
    return to_hex(parse_color(value))


Rate = Annotated[str, AfterValidator(_is_rate)]
Origin = Annotated[str, AfterValidator(_is_origin)]
Bind = Annotated[str, AfterValidator(_is_bind)]
Mailbox = Annotated[str, AfterValidator(_is_mailbox)]
HexColor = Annotated[str, AfterValidator(_is_color)]
PostgresAddress = Annotated[SecretStr, AfterValidator(_is_postgresql)]
RedisAddress = Annotated[SecretStr, AfterValidator(_is_redis)]
SmtpAddress = Annotated[SecretStr, AfterValidator(_is_smtp)]


def setting(name: str, default: Any, meaning: str, **limits: Any) -> Any:
    """Declare a setting: its name in the environment, its default and its documentation."""
    return Field(default=default, validation_alias=name, description=meaning, **limits)
