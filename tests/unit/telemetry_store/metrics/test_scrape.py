"""The metrics of the site on this host are fetched with its token, in a bounded time."""

from __future__ import annotations

import socket

import pytest

from church.telemetry_store.metrics.scrape import fetch
from church.telemetry_store.site import SiteError, Target
from tests.support.exposing import exposing
from tests.support.services_fixture import free_port


def test_fetch_sends_the_token_and_says_who_asks() -> None:
    with exposing("up 1\n") as site:
        assert fetch(Target(site.bind, "t" * 32)) == "up 1\n"
        assert fetch(Target(site.bind)) == "up 1\n"
    first, second = site.requests
    assert first["Authorization"] == f"Bearer {'t' * 32}"
    assert "Authorization" not in second
    assert (first["User-Agent"], first["Host"]) == ("church-observe", "localhost")


def test_fetch_reaches_a_site_that_listens_on_every_address() -> None:
    with exposing("up 1\n") as site:
        assert fetch(Target(site.bind.replace("127.0.0.1", "0.0.0.0"))) == "up 1\n"


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of the documentation: nothing is sent
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


def test_fetch_comes_from_loopback_to_any_address_of_this_machine() -> None:
    with exposing("up 1\n", host=own_address()) as site:
        assert fetch(Target(site.bind)) == "up 1\n"
    assert site.clients == ["127.0.0.1"]


def test_fetch_with_a_token_may_reach_another_machine() -> None:
    address = own_address()
    with exposing("up 1\n", host=address) as site:
        assert fetch(Target(site.bind, "t" * 32)) == "up 1\n"
    assert site.clients == [address]


def test_fetch_says_why_there_are_no_metrics() -> None:
    with exposing("<h1>No</h1>") as site:
        site.status = 403
        with pytest.raises(SiteError, match="answered 403"):
            fetch(Target(site.bind))
        site.status, site.text = 200, "x" * 1000
        site.answering.clear()
        with pytest.raises(SiteError, match="TimeoutError"):
            fetch(Target(site.bind), timeout=0.05)
    with pytest.raises(SiteError, match="ConnectionRefusedError"):
        fetch(Target(f"127.0.0.1:{free_port()}"))
