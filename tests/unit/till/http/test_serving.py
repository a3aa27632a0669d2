"""The till's messages when it can't start."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from church.till.http.serving import main, serve
from tests.support.services_fixture import site_settings


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:
    """Restore the umask, which ``main`` sets for its own process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_main_port_in_use_fails_and_names_it(settings, monkeypatch, capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("CHURCH_TILL_BIND", address)
        monkeypatch.setenv("CHURCH_INSTANCE", str(tmp_path))
        assert main() == 1
    result = capsys.readouterr().err
    assert f"cannot listen on {address}" in result
    assert "CHURCH_TILL_BIND" in result


@pytest.mark.parametrize("secret", ["whsec_9sTq2LxVb7Yc4Nf8Kd1Zr6Wm3Hj5Pg0A", ""])
def test_main_in_production_fails(monkeypatch, capsys, tmp_path, secret):
    strong = "uX7-pQ2_vN9kLm4RtY8wZb3CdF6gHj1S"
    environment = {"CHURCH_ENV": "production", "SECRET_KEY": strong, "METRICS_TOKEN": strong[::-1]}
    for name, value in {**environment, "CHURCH_INSTANCE": str(tmp_path), "STRIPE_WEBHOOK_SECRET": secret}.items():
        monkeypatch.setenv(name, value)
    assert main() == 1
    result = capsys.readouterr().err
    assert "does not run in production" in result
    assert "STRIPE_WEBHOOK_SECRET" not in result
    assert not (tmp_path / "till.db").exists()


def test_serve_without_webhook_secret_names_the_setting(tmp_path):
    settings = site_settings(tmp_path, STRIPE_API_BASE="http://127.0.0.1:1")
    with pytest.raises(Exception, match="STRIPE_WEBHOOK_SECRET"):
        serve(settings)
