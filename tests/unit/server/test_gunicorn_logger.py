"""Logging of gunicorn's master: the site's JSON records, and no access log of gunicorn's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config

from church.server.gunicorn_logger import MasterLogger
from tests.support.log_lines import parse_record


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Bring the logging of the tests back."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MasterLogger:
    """The logger of a master whose site logs to ``tmp_path``."""
    monkeypatch.setenv("CHURCH_INSTANCE", str(tmp_path / "instance"))
    monkeypatch.setenv("CHURCH_LOG_DIR", str(tmp_path / "logs"))
    config = Config()
    config.set("loglevel", "warning")
    return MasterLogger(config)


def records(folder: Path) -> list[dict[str, object]]:
    """All records in the log files."""
    lines = [line for file in folder.rglob("*") if file.is_file() for line in file.read_text().splitlines()]
    return [parse_record(line) for line in lines]


def test_line_of_gunicorn_is_a_record_of_the_site(logger: MasterLogger, tmp_path: Path) -> None:
    logger.warning("Worker (pid:%s) was sent SIGKILL!", 7)
    [record] = records(tmp_path / "logs")
    assert (record["service"], record["message"]) == ("church", "Worker (pid:7) was sent SIGKILL!")


def test_line_below_the_level_of_gunicorn_is_not_logged(logger: MasterLogger, tmp_path: Path) -> None:
    logger.info("Booting worker")
    assert records(tmp_path / "logs") == []


def test_requests_are_not_logged(logger: MasterLogger, tmp_path: Path) -> None:
    logger.access(object(), object(), {}, 0)
    assert records(tmp_path / "logs") == []


def test_weak_setting_is_logged_when_the_master_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURCH_INSTANCE", str(tmp_path / "instance"))
    monkeypatch.setenv("CHURCH_LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv("CHURCH_TRUSTED_PROXIES", "0.0.0.0/0")
    MasterLogger(Config())
    (record,) = records(tmp_path / "logs")
    assert (record["event"], record["level"]) == ("settings.weak", "WARNING")
    assert record["setting"] == "CHURCH_TRUSTED_PROXIES"
    assert "trusts 0.0.0.0/0" in str(record["message"])
