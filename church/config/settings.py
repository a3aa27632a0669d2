"""All settings of the site: each one's name in the environment, type, default and meaning.

A test compares docs/settings.md and ``.env.example`` with this module. Secrets come from the environment. In
development missing ones are generated once and kept in the instance folder (``church.lib.secrets``).
"""

from __future__ import annotations

import ipaddress
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from church.config.brand_settings import BrandSettings
from church.config.email_settings import EmailSettings
from church.config.media_settings import DeliverySettings, LiveSettings, MediaSettings
from church.config.observatory_settings import ObservatorySettings
from church.config.value_types import Bind, Mailbox, Origin, PostgresAddress, Rate, RedisAddress, SmtpAddress, setting
from church.lib.log_fields import Scheme
from church.lib.log_scheme import keep_scheme
from church.lib.secrets import find_weakness, load_instance_secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ConfigError(Exception):
    """The site can't start with these settings. The message has a line for each wrong one."""


class Settings(BrandSettings, MediaSettings, LiveSettings, DeliverySettings, EmailSettings, ObservatorySettings):
    """The configuration of the site, read once at start and then immutable."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, validate_default=True)

    environment: Literal["development", "production"] = setting(
        "CHURCH_ENV",
        "development",
        "`development` creates missing secrets; `production` does not start without them.",
    )
    bind: Bind = setting("CHURCH_BIND", "127.0.0.1:8000", "Address and port that gunicorn listens on.")
    workers: int = setting("WEB_CONCURRENCY", 2, "How many gunicorn workers serve requests.", ge=1, le=64)
    instance: Path = setting("CHURCH_INSTANCE", Path("instance"), "Folder of the database, secrets and sockets.")
    log_dir: Path = setting("CHURCH_LOG_DIR", Path("logs"), "Folder of `combined.log`, `error.log` and `traces.log`.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "LOG_LEVEL", "INFO", "Lowest level that is logged."
    )
    log_fields: Scheme | None = setting(
        "CHURCH_LOG_FIELDS",
        None,
        "Names of the fields of log records: `plain`, or `otel` for OpenTelemetry's semantic conventions. Default: "
        "`otel` for a new site, `plain` for one that had logs or a database before.",
    )
    log_paths: Literal["failures", "always", "never"] = setting(
        "CHURCH_LOG_PATHS",
        "failures",
        "When the access record of a member has the path besides the route: `failures` (status 400 and above), "
        "`always` or `never`. With `never` no visitor's record has it.",
    )
    content: Path = setting("CHURCH_CONTENT", Path("content"), "Folder of the markdown pages.")
    site_name: str = setting(
        "CHURCH_SITE_NAME",
        "BambiSleep Church",
        "Name of the site in titles, feeds and emails.",
        min_length=1,
        max_length=80,
    )
    site_url: Origin | None = setting(
        "CHURCH_SITE_URL",
        None,
        "Public address in every link; https turns on Secure cookies and HSTS. Default: `http://` and `CHURCH_BIND`.",
    )
    allow_http: bool = setting(
        "CHURCH_ALLOW_HTTP",
        False,
        "`true` lets a new production site start without https, on a network that nobody else can reach.",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = setting(
        "CHURCH_TRUSTED_PROXIES",
        (),
        "Networks of your proxies: their forwarded headers, `traceparent` and `X-Request-ID` are trusted.",
    )
    database_url: PostgresAddress | None = setting(
        "DATABASE_URL", None, "`postgresql://…` for PostgreSQL. Default: SQLite in the instance folder."
    )
    database_direct_url: PostgresAddress | None = setting(
        "CHURCH_DATABASE_DIRECT_URL",
        None,
        "Address of PostgreSQL itself, where `DATABASE_URL` is PgBouncer's: for migrations, backups, restores, and "
        "notices of new jobs.",
    )
    database_pool: int = setting(
        "CHURCH_DATABASE_POOL", 10, "Most database connections that each worker keeps open.", ge=1, le=100
    )
    database_timeout: float = setting(
        "CHURCH_DATABASE_TIMEOUT", 5.0, "Longest time that a PostgreSQL statement may take.", gt=0, le=300
    )
    redis_url: RedisAddress | None = setting(
        "REDIS_URL", None, "`redis://…` of a Redis that all hosts share. Default: the embedded store on a Unix socket."
    )
    store_timeout: float = setting(
        "CHURCH_STORE_TIMEOUT",
        0.09,
        "Longest time for a call to the store. After a slower one the worker does without it for a second.",
        gt=0,
        le=10,
    )
    secret_key: SecretStr = setting("SECRET_KEY", SecretStr(""), "Signs cookies and forms. At least 32 characters.")
    secret_key_previous: SecretStr | None = setting(
        "SECRET_KEY_PREVIOUS",
        None,
        "The `SECRET_KEY` before this one. What it signed stays valid until you remove it.",
    )
    metrics_token: SecretStr | None = setting(
        "METRICS_TOKEN",
        None,
        "Bearer token for `/metrics`. Required in production; without one only this machine can scrape.",
    )
    telemetry: bool = setting(
        "CHURCH_TELEMETRY",
        True,
        "`false` turns off metrics, access records, traces and the threat scan, to measure what they cost.",
    )
    trace_paths: Annotated[tuple[str, ...], NoDecode] = setting(
        "CHURCH_TRACE_PATHS",
        ("/auth/login", "/stripe/webhook", "/api/telemetry/"),
        "Traces of requests to paths that start with one of these are always kept.",
    )
    web_vitals: int = setting(
        "CHURCH_WEB_VITALS",
        100,
        "Percentage of page views whose browser reports how fast the page was; 10 is enough for a busy site, 0 is off.",
        ge=0,
        le=100,
    )
    threats: Literal["observe", "block"] = setting(
        "CHURCH_THREATS",
        "observe",
        "`observe` records a request that looks like an attack; `block` also answers strong signs with 403.",
    )
    threats_body: int = setting(
        "CHURCH_THREATS_BODY",
        65_536,
        "Most characters of a request body that the threat scan reads: of a longer one the beginning and the end.",
        ge=0,
        le=1_048_576,
    )
    max_body: int = setting("CHURCH_MAX_BODY", 1_048_576, "Largest request body, in bytes.", ge=1024)
    body_timeout: float = setting(
        "CHURCH_BODY_TIMEOUT", 20.0, "Longest time that a client may take to send a request body.", gt=0, le=600
    )
    connections_per_address: int = setting(
        "CHURCH_CONNECTIONS_PER_ADDRESS",
        100,
        "Most open connections from one IP address to each worker, without chat. Trusted proxies have no limit here.",
        ge=1,
        le=100_000,
    )
    password_min: int = setting(
        "CHURCH_PASSWORD_MIN", 12, "Shortest password that is accepted, in characters.", ge=8, le=64
    )
    session_idle: int = setting(
        "CHURCH_SESSION_IDLE", 1_209_600, "Seconds without a request until a sign-in ends.", ge=60, le=34_560_000
    )
    session_lifetime: int = setting(
        "CHURCH_SESSION_LIFETIME",
        2_592_000,
        "Seconds until a sign-in ends, however much it is used.",
        ge=60,
        le=34_560_000,
    )
    smtp_url: SmtpAddress | None = setting(
        "CHURCH_SMTP_URL",
        None,
        "`smtp://user:password@host:587` (STARTTLS) or `smtps://…`. Default: emails become files in `instance/outbox`.",
    )
    mail_from: Mailbox | None = setting(
        "CHURCH_MAIL_FROM", None, "Sender of emails. Default: `church@` and the host of `CHURCH_SITE_URL`."
    )
    stripe_secret_key: SecretStr | None = setting(
        "STRIPE_SECRET_KEY",
        None,
        "Secret key of your Stripe account. Without one: the test till in development, no payments in production.",
    )
    stripe_webhook_secret: SecretStr | None = setting(
        "STRIPE_WEBHOOK_SECRET",
        None,
        "Signing secret of the webhook endpoint. Required with `STRIPE_SECRET_KEY` in production.",
    )
    stripe_webhook_secret_previous: SecretStr | None = setting(
        "STRIPE_WEBHOOK_SECRET_PREVIOUS", None, "The signing secret before this one, while you rotate it."
    )
    stripe_api_base: Origin | None = setting(
        "STRIPE_API_BASE", None, "Address of the Stripe API, if not Stripe's own. Must be https in production."
    )
    till_bind: Bind | None = setting(
        "CHURCH_TILL_BIND", None, "Address and port of the test till. Default: the site's, one port higher."
    )
    automatic_tax: bool = setting(
        "CHURCH_AUTOMATIC_TAX",
        False,
        "`true` lets Stripe calculate tax on new subscriptions. Needs Stripe Tax in your Stripe account.",
    )
    grace_days: int = setting(
        "CHURCH_GRACE_DAYS", 7, "Days that premium stays open after a renewal payment fails.", ge=0, le=90
    )
    limit_page: Rate = setting("CHURCH_LIMIT_PAGE", "600/minute", "Page views from one IP address.")
    limit_search: Rate = setting("CHURCH_LIMIT_SEARCH", "60/minute", "Searches from one IP address.")
    limit_api: Rate = setting(
        "CHURCH_LIMIT_API", "300/minute", "Feeds, sitemaps and other machine reads from one IP address."
    )
    limit_telemetry_api: Rate = setting(
        "CHURCH_LIMIT_TELEMETRY_API", "120/minute", "Scrapes and telemetry calls from one IP address."
    )
    limit_vitals: Rate = setting("CHURCH_LIMIT_VITALS", "120/minute", "Web vitals of page views from one IP address.")
    limit_login: Rate = setting("CHURCH_LIMIT_LOGIN", "30/minute", "Sign-in attempts from one IP address.")
    limit_login_account: Rate = setting(
        "CHURCH_LIMIT_LOGIN_ACCOUNT",
        "20/hour",
        "Failed sign-ins to one account. Beyond that, each IP address has one more try per window.",
    )
    limit_confirmation: Rate = setting(
        "CHURCH_LIMIT_CONFIRMATION",
        "20/minute",
        "Changes to an account that its password confirms: of one account, and from one IP address.",
    )
    limit_register: Rate = setting("CHURCH_LIMIT_REGISTER", "20/minute", "Registration attempts from one IP address.")
    limit_link: Rate = setting(
        "CHURCH_LIMIT_LINK",
        "20/minute",
        "Confirmations of an email address, and requests for a new confirmation link, from one IP address.",
    )
    limit_reset: Rate = setting(
        "CHURCH_LIMIT_RESET", "20/minute", "Requests for a password reset link, and uses of one, from one IP address."
    )
    limit_token: Rate = setting("CHURCH_LIMIT_TOKEN", "60/minute", "Token requests from one IP address.")
    limit_checkout: Rate = setting(
        "CHURCH_LIMIT_CHECKOUT", "20/minute", "Checkouts, portal visits and plan changes from one IP address."
    )
    limit_webhook: Rate = setting("CHURCH_LIMIT_WEBHOOK", "6000/minute", "Webhook deliveries from one IP address.")
    limit_account: Rate = setting("CHURCH_LIMIT_ACCOUNT", "60/minute", "Changes to accounts from one IP address.")
    jobs_threads: int = setting(
        "CHURCH_JOBS_THREADS", 2, "Number of jobs that the worker process runs at once.", ge=1, le=16
    )
    jobs_lease: float = setting(
        "CHURCH_JOBS_LEASE", 30.0, "Seconds until a job of a process that died is run again.", ge=1, le=3600
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())
        except ValueError as error:
            raise ValueError(f"addresses or networks separated by commas such as 10.0.0.0/8 ({error})") from None

    @field_validator("trace_paths", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value

    @field_validator(
        "database_url",
        "database_direct_url",
        "redis_url",
        "metrics_token",
        "secret_key_previous",
        "site_url",
        "smtp_url",
        "mail_from",
        "stripe_secret_key",
        "stripe_webhook_secret",
        "stripe_webhook_secret_previous",
        "stripe_api_base",
        "till_bind",
        "log_fields",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str) and str(info.field_name).startswith("stripe_"):
            value = value.strip()  # pasted from a dashboard, often with blanks around it
        return None if value == "" else value

    @field_validator("instance", "log_dir", "content", mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any, info: ValidationInfo) -> Any:
        # an empty path would be the working directory
        return cls.model_fields[str(info.field_name)].default if value == "" else value

    @field_validator("instance", "log_dir", "content", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.absolute()

    @model_validator(mode="after")
    def _check_bucket(self) -> Settings:
        if self.video_offload == "s3" and self.video_s3_bucket is None:
            raise ValueError("CHURCH_VIDEO_S3_BUCKET: missing; required by CHURCH_VIDEO_OFFLOAD=s3")
        return self

    @model_validator(mode="after")
    def _check_secrets(self) -> Settings:
        if self.environment == "development":
            if not self.secret_key.get_secret_value():
                object.__setattr__(self, "secret_key", SecretStr(self._instance_secret("SECRET_KEY")))
            return self
        problems = [
            f"{name}: {problem}"
            for name, value in (("SECRET_KEY", self.secret_key), ("METRICS_TOKEN", self.metrics_token))
            if (problem := find_weakness(value.get_secret_value() if value else ""))
        ]
        # what the previous key has signed is still valid, so a guessable one is as bad as a guessable SECRET_KEY
        if self.secret_key_previous and (problem := find_weakness(self.secret_key_previous.get_secret_value())):
            problems.append(f"SECRET_KEY_PREVIOUS: {problem}")
        problems += self._weak_webhook_secrets()
        if self.stripe_secret_key is not None and self.stripe_webhook_secret is None:
            problems.append("STRIPE_WEBHOOK_SECRET: missing; find it beside the webhook endpoint in Stripe's dashboard")
        if self.stripe_api_base is not None and not self.stripe_api_base.startswith("https://"):
            problems.append("STRIPE_API_BASE: must be https in production; the test till is for development only")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _weak_webhook_secrets(self) -> list[str]:
        """Problems with the webhook secrets. A guessed one lets an attacker report payments that never happened."""
        secrets = {
            "STRIPE_WEBHOOK_SECRET": self.stripe_webhook_secret,
            "STRIPE_WEBHOOK_SECRET_PREVIOUS": self.stripe_webhook_secret_previous,
        }
        problems = {
            name: find_weakness(value.get_secret_value()) for name, value in secrets.items() if value is not None
        }
        return [f"{name}: {problem}" for name, problem in problems.items() if problem]

    def _instance_secret(self, name: str) -> str:
        try:
            return load_instance_secret(self.instance, name)
        except OSError as error:
            raise ValueError(f"CHURCH_INSTANCE: cannot store secrets in {self.instance}: {error.strerror}") from None

    @cached_property
    def origin(self) -> str:
        """Scheme and host of all absolute links. Never taken from a request."""
        return self.site_url or f"http://{self.bind}"

    @property
    def https(self) -> bool:
        """Whether visitors reach the site by https. Turns on Secure cookies and HSTS."""
        return self.origin.startswith("https://")

    @property
    def production(self) -> bool:
        """Whether the site runs in production, not in development."""
        return self.environment == "production"

    @property
    def database_dsn(self) -> str:
        """Address of the database for SQLAlchemy, with psycopg 3 for PostgreSQL. Includes the password."""
        if self.database_url is None:
            return f"sqlite:///{self.instance / 'church.db'}"
        return _to_psycopg(self.database_url)

    @property
    def database_direct_dsn(self) -> str:
        """Address of the database past a connection pooler. Includes the password."""
        return _to_psycopg(self.database_direct_url) if self.database_direct_url else self.database_dsn

    @property
    def sender(self) -> str:
        """The address that emails come from."""
        host = urlsplit(self.origin).hostname or "localhost"
        return self.mail_from or f"church@{f'[IPv6:{host}]' if ':' in host else host}"

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The key that signs, then the previous key, whose signatures are still valid."""
        previous = (self.secret_key_previous,) if self.secret_key_previous is not None else ()
        return tuple(key.get_secret_value() for key in (self.secret_key, *previous))

    @property
    def till(self) -> bool:
        """Whether payments go to the test till: in development, unless Stripe is configured."""
        return not self.production and self.stripe_secret_key is None and self.stripe_api_base is None

    @property
    def till_address(self) -> str:
        """Address and port that the test till listens on."""
        host, _, port = self.bind.rpartition(":")
        return self.till_bind or f"{host}:{int(port) % 65535 + 1}"

    @property
    def payments(self) -> bool:
        """Whether payments are possible, with a Stripe account or the test till."""
        return not self.production or self.stripe_secret_key is not None

    @property
    def stripe_key(self) -> str:
        """Key for Stripe's API; a fixed one for the test till."""
        return self.stripe_secret_key.get_secret_value() if self.stripe_secret_key else "sk_test_till"

    @property
    def stripe_base(self) -> str | None:
        """Address of Stripe's API; None for Stripe's own."""
        return f"http://{self.till_address}" if self.till else self.stripe_api_base

    @cached_property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Secrets that webhooks may be signed with, the current one first. Raises OSError if one can't be generated."""
        given = (self.stripe_webhook_secret, self.stripe_webhook_secret_previous)
        secrets = tuple(secret.get_secret_value() for secret in given if secret is not None)
        if self.stripe_webhook_secret is None and self.till:
            return (f"whsec_{load_instance_secret(self.instance, 'STRIPE_WEBHOOK_SECRET')}", *secrets)
        return secrets

    @property
    def video_dir(self) -> Path:
        """Folder of the videos."""
        return self.video_folder or self.instance / "videos"

    @property
    def log_scheme(self) -> Scheme:
        """By which names this site logs; without a setting it is chosen at the first start, and kept."""
        return self.log_fields or keep_scheme(self.instance, self.log_dir)

    @property
    def metrics_dir(self) -> Path:
        """Folder of the files in which the processes of this host count metrics."""
        return self.instance / "metrics"


def _to_psycopg(address: SecretStr) -> str:
    """The address of a PostgreSQL database for SQLAlchemy, with psycopg 3."""
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", address.get_secret_value())


def _complaint(error: Any) -> str:
    """One line about a wrong setting: its name, its value (never a secret) and what is expected."""
    location = error["loc"]
    if not location:
        return str(error["msg"]).removeprefix("Value error, ")
    name = str(location[0])
    field = next((f for f in Settings.model_fields.values() if f.validation_alias == name), None)
    secret = field is not None and "SecretStr" in str(field.annotation)
    got = "a value that is not shown" if secret else repr(error["input"])[:80]
    expected = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{name}: got {got}; expected {expected}"


_kept: Settings | None = None


def keep_settings() -> Settings:
    """Let ``load_settings`` return the settings of now, in this process and its children.

    gunicorn's master calls this: a child that starts later must not read an env file that is being edited.
    """
    global _kept  # noqa: PLW0603 - a fact of the process
    _kept = read_settings()
    return _kept


def load_settings(**overrides: Any) -> Settings:
    """Return the settings that this process keeps; without them, or with ``overrides``, see ``read_settings``."""
    return read_settings(**overrides) if _kept is None or overrides else _kept


def read_settings(*, whole: bool = False, **overrides: Any) -> Settings:
    """Read the settings from the environment and an env file.

    ``CHURCH_ENV_FILE`` names the file: ``.env`` by default, none if it is empty. ``overrides`` are settings by their
    environment names. Raises ConfigError with a line for every wrong setting, and for a file that cannot be read. Lines
    that are not ``NAME=value`` are left out, unless the ``whole`` file has to be right.
    """
    overrides.setdefault("_env_file", os.environ.get("CHURCH_ENV_FILE", ".env") or None)
    _check_file(overrides["_env_file"], whole=whole)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise ConfigError("\n".join(_complaint(e) for e in error.errors())) from None


def _check_file(file: str | None, *, whole: bool) -> None:
    """Raise ConfigError for an env file that cannot be read, or has to be ``whole`` and is half-edited."""
    if file is None or not Path(file).is_file():
        return
    try:
        with Path(file).open(encoding="utf-8") as lines:
            wrong = [binding.original.line for binding in parse_stream(lines) if binding.error]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
    if wrong and whole:
        raise ConfigError(f"{file}: line {wrong[0]} is not NAME=value")


def current_settings() -> Settings:
    """The settings of the current app."""
    # gunicorn's master imports this module, and must not load Flask before it forks
    from flask import current_app  # noqa: PLC0415 - see above

    settings: Settings = current_app.config["CHURCH"]
    return settings
