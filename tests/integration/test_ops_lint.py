"""The files for hosts and containers pass their linters, and the linters find mistakes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from church.store.embedded import embedded_command
from church.web.headers import _HSTS
from ops import lint
from tests.support.services_fixture import site_settings

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"


@pytest.fixture
def spoiled(tmp_path, monkeypatch):
    """Copy ops/, and return a function that puts a mistake into the copy."""
    copy = tmp_path / "ops"
    shutil.copytree(OPS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(lint, "OPS", copy)

    def spoil(name, old, new):
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new))

    return spoil


def mistake(check, file, old, new, needs=()):
    """A mistake that ``check`` finds, with what it ``needs`` besides the tools in .venv."""
    return pytest.param(check, file, old, new, marks=[pytest.mark.needs(*needs)] if needs else [])


NGINX = ("nginx", "openssl")
SYSTEMD = ("systemd-analyze",)


@pytest.mark.parametrize(
    ("check", "file", "old", "new"),
    [
        mistake(lint.dockerfile, "Dockerfile", ":3.11.14-slim-bookworm", ""),
        mistake(lint.yaml, "docker-compose.yml", "name: church", "name:  church"),
        mistake(lint.compose, "docker-compose.yml", "stop_grace_period", "stop_grace"),
        mistake(lint.kubernetes, "kubernetes/deployment.yaml", "periodSeconds", "periodSecond"),
        mistake(lint.kubernetes, "kubernetes/servicemonitor.yaml", "scrapeTimeout", "scrapeTimeOut"),
        mistake(lint.prometheus, "prometheus/prometheus.yml", "rule_files", "rules_files", ["promtool"]),
        mistake(lint.alertmanager, "alertmanager/alertmanager.yml", "receiver: chat", "receiver: cat", ["amtool"]),
        mistake(lint.nginx, "nginx/church.conf", "client_body_timeout 20s;", "client_body_timeout 20s", NGINX),
        mistake(lint.compose_upstream, "nginx/compose-upstream.conf", "keepalive 32", "keepalives 32", NGINX),
        mistake(lint.units, "systemd/church-web.service", "MemoryMax=2G", "MemoryMax=lots", SYSTEMD),
        mistake(lint.units, "systemd/church-.service.d/50-common.conf", "ProtectHome=yes", "ProtectHouse=yes", SYSTEMD),
        mistake(lint.units, "systemd/church-work.service", "/opt/church/.venv/bin/flask", "/opt/missing", SYSTEMD),
        mistake(lint.rotation, "logrotate/church", "rotate 14", "rotates 14", ["logrotate"]),
    ],
)
def test_mistake_is_found(spoiled, tmp_path, check, file, old, new):
    spoiled(file, old, new)
    folder = tmp_path / "work"
    folder.mkdir()
    with pytest.raises(lint.ToolFailedError):
        check(folder)


@pytest.mark.parametrize(("strict", "complaints"), [("1", 1), ("", 0)])
def test_missing_tool_fails_only_in_strict_mode(monkeypatch, strict, complaints):
    monkeypatch.setenv("CHURCH_REQUIRE_SERVICES", strict)

    def absent(folder):
        lint.run_tool("no-such-tool")

    assert len(list(lint.run_checks([absent]))) == complaints


def test_static_files_of_nginx_have_the_sites_hsts_header():
    assert f'"{_HSTS}";' in (OPS / "nginx/church.conf").read_text()


def test_image_contains_only_what_the_site_needs():
    named = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (OPS / "Dockerfile").read_text(), re.MULTILINE)
    assert named == {name for copied in copies for name in copied.split()}


def test_redis_of_compose_is_limited_like_the_embedded_store(tmp_path):
    compose = (OPS / "docker-compose.yml").read_text()
    command = embedded_command(site_settings(tmp_path))
    for option in ("--maxmemory", "--maxmemory-policy"):
        assert f"{option}, {command[command.index(option) + 1]}" in compose
