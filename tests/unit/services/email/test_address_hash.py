"""Hashes of email addresses."""

from __future__ import annotations

from flask import Flask

from church.services.email.address_hash import hash_address
from tests.support.helpers import STRONG, with_settings


def test_hash_address_differs_by_address_and_by_site_secret(at_work: Flask) -> None:
    first, second = hash_address("ada@example.org"), hash_address("bob@example.org")
    assert first != second
    assert first == hash_address("ada@example.org")
    assert len(first) == len(bytes.fromhex(first)) * 2 == 16
    secret = at_work.config["CHURCH"].secret_key
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], secret_key=type(secret)(STRONG))
    assert hash_address("ada@example.org") != first
