"""Which origins and hosts are this site's, in production and in development."""

from __future__ import annotations

import pytest
from flask import Flask

from church import create_app
from church.config import Settings
from church.web.origins import is_loopback_name, is_own_origin
from tests.support.helpers import with_settings

SITE = "https://church.example"
EVIL = "http://evil.example"


def _site(settings: Settings, environment: str) -> Flask:
    return create_app(with_settings(settings, environment=environment, site_url=SITE))


def _accepts(app: Flask, origin: str, base_url: str) -> bool:
    with app.test_request_context("/", base_url=base_url):
        return is_own_origin(origin)


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize("host", [EVIL, "http://localhost:8000", SITE])
@pytest.mark.parametrize("origin", [SITE, SITE.upper(), f"{SITE}:443"])
def test_origin_of_the_site_is_accepted_by_any_host(
    settings: Settings, environment: str, host: str, origin: str
) -> None:
    assert _accepts(_site(settings, environment), origin, host)


@pytest.mark.parametrize("environment", ["production", "development"])
def test_origin_that_equals_a_foreign_host_name_is_refused(settings: Settings, environment: str) -> None:
    assert not _accepts(_site(settings, environment), EVIL, EVIL)


@pytest.mark.parametrize(
    "address", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000", "http://192.168.1.5:8000"]
)
def test_origin_that_equals_an_address_of_the_machine_is_accepted_in_development_alone(
    settings: Settings, address: str
) -> None:
    assert _accepts(_site(settings, "development"), address, address)
    assert not _accepts(_site(settings, "production"), address, address)


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://localhost:8000", "http://127.0.0.1:8000", "null", ""]
)
def test_origin_of_another_site_on_this_machine_is_refused(settings: Settings, origin: str) -> None:
    assert not _accepts(_site(settings, "development"), origin, "http://localhost:8000")


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8000", "127.0.0.1", "127.9.9.9:1", "[::1]:8000", "[::ffff:127.0.0.1]"]
)
def test_loopback_names_are_recognized(host: str) -> None:
    assert is_loopback_name(host)


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "["])
def test_other_names_are_no_loopback_names(host: str) -> None:
    assert not is_loopback_name(host)
