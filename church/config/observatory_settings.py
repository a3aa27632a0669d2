"""Settings of the telemetry store: a base class of ``church.config.Settings``."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from church.config.value_types import setting


class ObservatorySettings(BaseSettings):
    """What the site keeps of its own logs, traces and metrics."""

    observatory: bool = setting(
        "CHURCH_OBSERVATORY",
        True,
        "`false` turns off the store of logs, traces, errors and metrics that the admin area reads.",
    )
    observatory_days: int = setting(
        "CHURCH_OBSERVATORY_DAYS", 14, "Days that logs, traces and errors are kept in the store.", ge=1, le=3650
    )
    observatory_bytes: int = setting(
        "CHURCH_OBSERVATORY_BYTES",
        2_147_483_648,
        "Most bytes on disk that the store takes; the oldest logs, traces and errors go first.",
        ge=16_777_216,
    )
    observatory_address_days: int = setting(
        "CHURCH_OBSERVATORY_ADDRESS_DAYS",
        3,
        "Days after which the IP addresses in log files and in the store are cut to their network (/24, IPv6 /48).",
        ge=1,
        le=3650,
    )
