"""Types of setting values: which values each accepts, and that its error completes "expected ..."."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from church.config.value_types import Bind, Mailbox, Origin, PostgresAddress, Rate, RedisAddress, SmtpAddress


def read(kind: Any, value: str) -> Any:
    """Read ``value`` as ``kind``; a secret as its text."""
    found = TypeAdapter(kind).validate_python(value)
    return found.get_secret_value() if isinstance(found, SecretStr) else found


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Rate, "30/minute"),
        (Bind, "[::1]:8000"),
        (Mailbox, "church@church.example"),
        (PostgresAddress, "postgres://me@host/church"),
        (PostgresAddress, "postgresql+psycopg://me@host/church"),
        (RedisAddress, "rediss://host:6379/0"),
        (RedisAddress, "unix:///run/redis.sock"),
        (SmtpAddress, "smtps://host:465"),
    ],
)
def test_valid_value_stays_as_it_is(kind: Any, value: str) -> None:
    assert read(kind, value) == value


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Rate, "0/minute", "a count and a window"),
        (Rate, "30/fortnight", "a count and a window"),
        (Rate, "30/minute ", "a count and a window"),
        (Bind, "127.0.0.1", "an address and a port"),
        (Bind, ":8000", "an address and a port"),
        (Bind, "127.0.0.1:65536", "an address and a port"),
        (Bind, "127.0.0.1:0", "an address and a port"),
        (Mailbox, "Church <church@church.example>", "an email address"),
        (Mailbox, "church", "an email address"),
        (Origin, "church.example", "a scheme and a host"),
        (Origin, "https://church.example/path", "a scheme and a host"),
        (Origin, "https://me@church.example", "a scheme and a host"),
        (Origin, "https://church.example:0", "a port from 1 to 65535"),
        (PostgresAddress, "mysql://host/church", "an address such as postgresql://"),
        (RedisAddress, "http://host", "an address such as redis://"),
        (SmtpAddress, "smtp://", "an address such as smtp://"),
    ],
)
def test_wrong_value_is_refused_with_an_example(kind: Any, value: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=f"Value error, {expected}"):
        read(kind, value)


def test_origin_loses_its_final_slash_and_keeps_its_port() -> None:
    assert read(Origin, "https://church.example:8443/") == "https://church.example:8443"
    assert read(Origin, "http://[::1]:8000") == "http://[::1]:8000"
