"""Settings: valid values, errors for wrong ones, and secrets that are never shown."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from church.config import ConfigError, Settings, keep_settings, load_settings, read_settings, settings
from tests.support.helpers import STRONG
from tests.support.pictures import SVG, make_jpeg

# Names given by their ecosystem. All others start with CHURCH_.
ECOSYSTEM = {
    "WEB_CONCURRENCY",
    "LOG_LEVEL",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "SECRET_KEY_PREVIOUS",
    "METRICS_TOKEN",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_WEBHOOK_SECRET_PREVIOUS",
    "STRIPE_API_BASE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}


def load(tmp_path: Path, **given: Any) -> Settings:
    return load_settings(_env_file=None, **{"CHURCH_INSTANCE": tmp_path / "instance", **given})


def complaint(tmp_path: Path, **given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **given)
    return str(caught.value)


@pytest.mark.parametrize("field", list(Settings.model_fields))
def test_setting_has_a_church_or_ecosystem_name_and_a_description(field: str) -> None:
    info = Settings.model_fields[field]
    name = str(info.validation_alias)
    assert name in ECOSYSTEM or re.fullmatch(r"CHURCH_[A-Z0-9_]+", name)
    assert info.description
    assert info.description.endswith(".")


def test_settings_by_default_are_development_with_two_workers(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.environment, settings.bind, settings.workers) == ("development", "127.0.0.1:8000", 2)
    assert settings.origin == "http://127.0.0.1:8000"
    assert not settings.https
    assert not settings.production
    assert settings.trusted_proxies == ()
    assert settings.metrics_dir == tmp_path / "instance" / "metrics"


@pytest.mark.parametrize(("named", "workers"), [(None, 5), ("other.env", 6), ("", 2)])
def test_settings_come_from_the_named_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, workers: int
) -> None:
    (tmp_path / ".env").write_text("WEB_CONCURRENCY=5\n")
    (tmp_path / "other.env").write_text("WEB_CONCURRENCY=6\n")
    monkeypatch.chdir(tmp_path)
    if named is None:
        monkeypatch.delenv("CHURCH_ENV_FILE")
    else:
        monkeypatch.setenv("CHURCH_ENV_FILE", named)
    assert load_settings().workers == workers


def test_settings_that_are_kept_stay_until_they_are_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings"
    monkeypatch.setattr(settings, "_kept", None)
    monkeypatch.setenv("CHURCH_ENV_FILE", str(file))
    monkeypatch.setenv("CHURCH_INSTANCE", str(tmp_path / "instance"))
    file.write_text("CHURCH_SITE_NAME=Before\n")
    kept = keep_settings()
    file.write_text("CHURCH_SITE_NAME=Afterwards\n")
    assert load_settings() is kept
    assert (kept.site_name, read_settings().site_name) == ("Before", "Afterwards")
    assert load_settings(CHURCH_SITE_NAME="Other").site_name == "Other"
    file.write_text("CHURCH_MAX_BODY=mu")
    assert load_settings() is kept
    with pytest.raises(ConfigError):
        read_settings()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CHURCH_SITE_NAME=Café\n".encode("latin-1"), "can't decode byte 0xe9"),
        (b'WEB_CONCURRENCY=5\nCHURCH_SITE_NAME="Half\nCHURCH_ENV=production\n', "line 2 is not NAME=value"),
    ],
)
def test_file_that_cannot_be_read_whole_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, reason: str
) -> None:
    file = tmp_path / "settings"
    file.write_bytes(text)
    monkeypatch.setenv("CHURCH_ENV_FILE", str(file))
    with pytest.raises(ConfigError, match=reason) as refusal:
        read_settings(whole=True)
    assert str(refusal.value).startswith(f"{file}: ")


def test_lines_that_say_nothing_are_left_out_at_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings"
    file.write_text("; a note\nCHURCH_SITE_NAME=Abbey\n")
    monkeypatch.setenv("CHURCH_ENV_FILE", str(file))
    assert read_settings().site_name == "Abbey"
    with pytest.raises(ConfigError, match="line 1 is not NAME=value"):
        read_settings(whole=True)


def test_settings_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURCH_INSTANCE", str(tmp_path))
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    monkeypatch.setenv("CHURCH_TRACE_PATHS", "/a, /b,")
    settings = load_settings(_env_file=None)
    assert settings.workers == 7
    assert settings.trace_paths == ("/a", "/b")


@pytest.mark.parametrize(
    ("name", "bad", "expected"),
    [
        ("CHURCH_ENV", "staging", "'development' or 'production'"),
        ("CHURCH_BIND", "localhost", "127.0.0.1:8000"),
        ("CHURCH_BIND", ":8000", "127.0.0.1:8000"),
        ("CHURCH_BIND", "127.0.0.1:0", "127.0.0.1:8000"),
        ("CHURCH_BIND", "127.0.0.1:65536", "127.0.0.1:8000"),
        ("WEB_CONCURRENCY", "0", "greater than or equal to 1"),
        ("WEB_CONCURRENCY", "two", "integer"),
        ("WEB_CONCURRENCY", "", "integer"),
        ("LOG_LEVEL", "loud", "'WARNING'"),
        ("CHURCH_SITE_NAME", "", "at least 1 character"),
        ("CHURCH_SITE_URL", "church.example", "https://church.example"),
        ("CHURCH_SITE_URL", "ftp://church.example", "https://church.example"),
        ("CHURCH_SITE_URL", "https://church.example/site", "without a path"),
        ("CHURCH_SITE_URL", "https://user:word@church.example", "https://church.example"),
        ("CHURCH_SITE_URL", "https://church.example#x", "https://church.example"),
        ("CHURCH_SITE_URL", "https://church.example:99999", "0-65535"),
        ("CHURCH_SITE_URL", "https://church.example:port", "https://church.example"),
        ("CHURCH_TRUSTED_PROXIES", "10.0.0.0/8, elsewhere", "10.0.0.0/8"),
        ("CHURCH_TRUSTED_PROXIES", "10.0.0.1/8", "has host bits set"),
        ("CHURCH_TELEMETRY", "perhaps", "boolean"),
        ("CHURCH_THREATS", "ignore", "'observe' or 'block'"),
        ("CHURCH_THREATS_BODY", "-1", "greater than or equal to 0"),
        ("CHURCH_MAX_BODY", "10", "greater than or equal to 1024"),
        ("CHURCH_BODY_TIMEOUT", "0", "greater than 0"),
        ("CHURCH_LIMIT_PAGE", "many", "30/minute"),
        ("CHURCH_LIMIT_SEARCH", "0/minute", "30/minute"),
        ("CHURCH_LIMIT_API", "5/fortnight", "30/minute"),
        ("CHURCH_LIMIT_TELEMETRY_API", "5 per minute", "30/minute"),
        ("CHURCH_JOBS_LEASE", "0.5", "greater than or equal to 1"),
    ],
)
def test_bad_value_error_has_name_value_and_expectation(tmp_path: Path, name: str, bad: str, expected: str) -> None:
    message = complaint(tmp_path, **{name: bad})
    assert message.startswith(f"{name}: got {bad!r}; expected ")
    assert expected in message
    assert "\n" not in message


def test_bad_values_have_a_line_each(tmp_path: Path) -> None:
    message = complaint(tmp_path, CHURCH_ENV="x", WEB_CONCURRENCY="x", CHURCH_BIND="x").splitlines()
    assert {line.partition(":")[0] for line in message} == {"CHURCH_ENV", "WEB_CONCURRENCY", "CHURCH_BIND"}


def test_bad_value_that_is_long_is_shortened(tmp_path: Path) -> None:
    assert len(complaint(tmp_path, CHURCH_BIND="x" * 10_000)) < 200


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
@pytest.mark.parametrize("bad", ["mysql://u:hunter2@host/d", "hunter2", "postgresql:hunter2"])
def test_bad_server_address_is_reported_without_its_password(tmp_path: Path, name: str, bad: str) -> None:
    message = complaint(tmp_path, **{name: bad})
    assert message.startswith(f"{name}: got a value that is not shown; expected an address such as ")
    assert "hunter2" not in message


def test_secrets_are_not_shown_by_the_settings(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        SECRET_KEY="hunter2key",
        METRICS_TOKEN="hunter2token",
        DATABASE_URL="postgresql://u:hunter2@h/d",
        REDIS_URL="redis://:hunter2@h/0",
    )
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize("missing", ["SECRET_KEY", "METRICS_TOKEN"])
@pytest.mark.parametrize(
    ("weak", "why"),
    [
        (None, "missing"),
        ("", "missing"),
        ("Zk4x9Qw7Lm2Pv8Rt", "has 16 characters; needs at least 32"),
        ("abcabcabcabcabcabcabcabcabcabcabcabc", "guessable"),
        ("please-CHANGE-this-1234567890-abcdefgh", "guessable"),
    ],
)
def test_production_refuses_a_missing_or_weak_secret_by_name(
    tmp_path: Path, missing: str, weak: str | None, why: str
) -> None:
    given = {"SECRET_KEY": STRONG, "METRICS_TOKEN": STRONG, missing: weak}
    message = complaint(tmp_path, CHURCH_ENV="production", **{k: v for k, v in given.items() if v is not None})
    assert message.startswith(f"{missing}: ")
    assert why in message
    assert "\n" not in message
    assert not weak or weak not in message


@pytest.mark.parametrize(
    "weak", ["x", "abcabcabcabcabcabcabcabcabcabcabcabc", "please-CHANGE-this-1234567890-abcdefgh"]
)
def test_production_refuses_a_weak_previous_key_by_name(tmp_path: Path, weak: str) -> None:
    given = {"SECRET_KEY": STRONG, "METRICS_TOKEN": STRONG, "SECRET_KEY_PREVIOUS": weak}
    message = complaint(tmp_path, CHURCH_ENV="production", **given)
    assert message.startswith("SECRET_KEY_PREVIOUS: ")
    assert len(weak) < 2 or weak not in message
    assert load(tmp_path, CHURCH_ENV="production", **{**given, "SECRET_KEY_PREVIOUS": STRONG[::-1]}).production


def test_production_reports_both_secrets_and_generates_none(tmp_path: Path) -> None:
    message = complaint(tmp_path, CHURCH_ENV="production").splitlines()
    assert [line.partition(":")[0] for line in message] == ["SECRET_KEY", "METRICS_TOKEN"]
    assert not (tmp_path / "instance").exists()


def test_production_with_strong_secrets_starts(tmp_path: Path) -> None:
    settings = load(tmp_path, CHURCH_ENV="production", SECRET_KEY=STRONG, METRICS_TOKEN=STRONG)
    assert settings.production
    assert settings.secret_key.get_secret_value() == STRONG


REAL_ONES = {"SECRET_KEY": STRONG, "METRICS_TOKEN": STRONG, "STRIPE_SECRET_KEY": "sk_live_1"}
WHSEC = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqB6e8FH9"  # as long as Stripe's


@pytest.mark.parametrize("name", ["STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET_PREVIOUS"])
@pytest.mark.parametrize(
    ("weak", "why"),
    [
        ("x", "has 1 characters; needs at least 32"),
        ("whsec_5WbX5kEWLlfzsGNjH64I8lO", "needs at least 32"),
        (f"whsec_{'a' * 32}", "guessable"),
        ("whsec_change-me-1234567890-abcdefgh", "guessable"),
        ("x" + " " * 40, "has 1 characters"),
    ],
)
def test_production_refuses_a_guessable_webhook_secret(tmp_path: Path, name: str, weak: str, why: str) -> None:
    message = complaint(tmp_path, CHURCH_ENV="production", **{**REAL_ONES, "STRIPE_WEBHOOK_SECRET": WHSEC, name: weak})
    assert message.startswith(f"{name}: ")
    assert why in message
    assert "\n" not in message
    assert len(weak.strip()) < 2 or weak not in message


def test_production_requires_a_webhook_secret_with_a_key_and_blanks_do_not_count(tmp_path: Path) -> None:
    message = complaint(tmp_path, CHURCH_ENV="production", **{**REAL_ONES, "STRIPE_WEBHOOK_SECRET": "  "})
    assert message.startswith("STRIPE_WEBHOOK_SECRET: missing")


def test_blanks_around_values_pasted_from_stripe_are_removed(tmp_path: Path) -> None:
    given = {
        "STRIPE_SECRET_KEY": " sk_live_1\t",
        "STRIPE_WEBHOOK_SECRET": f"\n{WHSEC} ",
        "STRIPE_WEBHOOK_SECRET_PREVIOUS": f" {STRONG}\r\n",
        "STRIPE_API_BASE": " https://stripe.example ",
    }
    settings = load(tmp_path, CHURCH_ENV="production", **{**REAL_ONES, **given})
    assert settings.stripe_key == "sk_live_1"
    assert settings.webhook_secrets == (WHSEC, STRONG)
    assert settings.stripe_base == "https://stripe.example"


def test_development_keeps_its_generated_secret(tmp_path: Path) -> None:
    first = load(tmp_path).secret_key.get_secret_value()
    assert len(first) >= 32
    assert load(tmp_path).secret_key.get_secret_value() == first
    assert load(tmp_path / "other").secret_key.get_secret_value() != first


def test_development_uses_a_given_secret(tmp_path: Path) -> None:
    assert load(tmp_path, SECRET_KEY="short").secret_key.get_secret_value() == "short"
    assert not (tmp_path / "instance").exists()


def test_instance_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = complaint(tmp_path, CHURCH_INSTANCE=tmp_path / "file" / "instance")
    assert message.startswith("CHURCH_INSTANCE: cannot store secrets in ")


def test_secrets_file_that_is_damaged_is_reported(tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "secrets.json").write_text('{"SECRET_KEY": "hunt')
    message = complaint(tmp_path)
    assert message.startswith("CHURCH_INSTANCE: ")
    assert "secrets.json is damaged" in message


def test_empty_strings_count_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL", "METRICS_TOKEN", "CHURCH_SITE_URL", "CHURCH_INSTANCE", "CHURCH_LOG_DIR"):
        monkeypatch.setenv(name, "")
    settings = load_settings(_env_file=None)
    assert settings.database_url is settings.redis_url is settings.metrics_token is settings.site_url is None
    assert settings.instance == tmp_path / "instance"
    assert settings.log_dir == tmp_path / "logs"


def test_trusted_proxies_are_networks_of_ipv4_and_ipv6(tmp_path: Path) -> None:
    settings = load(tmp_path, CHURCH_TRUSTED_PROXIES=" 10.0.0.0/8,192.0.2.7, 2001:db8::/32 ,")
    assert settings.trusted_proxies == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("192.0.2.7/32"),
        ipaddress.ip_network("2001:db8::/32"),
    )


@pytest.mark.parametrize(
    ("given", "dsn"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql+psycopg://u:p@h:5432/d"),
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql+psycopg://u@h/postgresql://", "postgresql+psycopg://u@h/postgresql://"),
    ],
)
def test_database_dsn_of_postgresql_names_its_driver(tmp_path: Path, given: str, dsn: str) -> None:
    assert load(tmp_path, DATABASE_URL=given).database_dsn == dsn


def test_database_dsn_without_an_address_is_sqlite_in_the_instance(tmp_path: Path) -> None:
    assert load(tmp_path).database_dsn == f"sqlite:///{tmp_path}/instance/church.db"


@pytest.mark.parametrize(
    ("given", "origin", "https"),
    [
        ("https://church.example/", "https://church.example", True),
        ("http://church.example:8080", "http://church.example:8080", False),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443", True),
    ],
)
def test_site_url_is_an_origin_and_sets_https(tmp_path: Path, given: str, origin: str, https: bool) -> None:
    settings = load(tmp_path, CHURCH_SITE_URL=given)
    assert settings.origin == origin
    assert settings.https is https


def test_folders_are_absolute_after_a_change_of_working_directory(tmp_path: Path) -> None:
    settings = load(tmp_path, CHURCH_LOG_DIR="somewhere/logs")
    assert settings.log_dir == Path(os.getcwd()) / "somewhere" / "logs"
    assert settings.content.is_absolute()


def test_settings_are_immutable(tmp_path: Path) -> None:
    settings = load(tmp_path)
    with pytest.raises(ValidationError, match="frozen"):
        settings.workers = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "bad", "expected"),
    [
        ("CHURCH_ACCENT", "red", "such as #1d6f5c"),
        ("CHURCH_ACCENT", "#fff;}", "such as #1d6f5c"),
        ("CHURCH_TAGLINE", "x" * 121, "at most 120 characters"),
        ("CHURCH_DESCRIPTION", "x" * 301, "at most 300 characters"),
        ("CHURCH_FOOTER", "x" * 301, "at most 300 characters"),
    ],
)
def test_bad_look_is_refused(tmp_path: Path, name: str, bad: str, expected: str) -> None:
    message = complaint(tmp_path, **{name: bad})
    assert message.startswith(f"{name}: got ")
    assert expected in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("CHURCH_LOGO", None, "there is no such file"),
        ("CHURCH_LOGO", b"<svg><script/></svg>", "an SVG without <script>"),
        ("CHURCH_LOGO", make_jpeg(20, 20), "it is JPEG"),
        ("CHURCH_SHARE_IMAGE", SVG.encode(), "it is SVG"),
        ("CHURCH_SHARE_IMAGE", b"words", "it is none of these"),
    ],
)
def test_bad_picture_is_refused_with_its_reason(
    tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / "picture"
    if content is not None:
        path.write_bytes(content)
    message = complaint(tmp_path, **{name: str(path)})
    assert message.startswith(f"{name}: got '")
    assert expected in message
    assert "\n" not in message


def test_look_left_empty_is_the_default_and_texts_are_on_one_line(tmp_path: Path) -> None:
    empty = load(tmp_path, CHURCH_LOGO="", CHURCH_SHARE_IMAGE="", CHURCH_ACCENT="", CHURCH_TAGLINE="Two\nlines")
    assert (empty.logo, empty.share_image, empty.accent, empty.tagline) == (None, None, None, "Two lines")
