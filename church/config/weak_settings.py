"""Settings that are allowed in production but weaken the site: named at each start and by ``flask church doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from church.config.settings import ConfigError, Settings

_TOO_WIDE = {4: 7, 6: 15}  # a prefix of so many bits, or fewer, holds a good part of everybody


class WeakSetting(NamedTuple):
    """A setting by its name in the environment, what it lets happen, and what to set instead."""

    name: str
    problem: str
    fix: str


def find_weak_settings(settings: Settings) -> list[WeakSetting]:
    """List the weak settings of a site, the worst first."""
    return [*_trusting_everybody(settings), *(_weak_in_production(settings) if settings.production else ())]


def refuse_new_site_without_https(settings: Settings) -> None:
    """Raise ConfigError for a production site without https, unless CHURCH_ALLOW_HTTP is on.

    Call it before a database is created: sites that exist already only get a warning.
    """
    if settings.production and not settings.https and not settings.allow_http:
        raise ConfigError(
            f"CHURCH_SITE_URL: {settings.origin} has no https, so cookies and passwords could be read on the way. Set "
            "it to https://…, or set CHURCH_ALLOW_HTTP=true if nobody else can reach the network"
        )


def _trusting_everybody(settings: Settings) -> Iterator[WeakSetting]:
    wide = [str(network) for network in settings.trusted_proxies if network.prefixlen <= _TOO_WIDE[network.version]]
    if wide:
        yield WeakSetting(
            "CHURCH_TRUSTED_PROXIES",
            f"trusts {', '.join(wide)}: any client can choose its address and request id",
            "name the addresses of your proxies alone",
        )


def _weak_in_production(settings: Settings) -> Iterator[WeakSetting]:
    if not settings.https:
        yield WeakSetting(
            "CHURCH_SITE_URL",
            f"visitors reach {settings.origin} without https: cookies and passwords can be read on the way",
            "set it to https://…",
        )
    if not settings.telemetry:
        yield WeakSetting("CHURCH_TELEMETRY", "no metrics, no access log and no threat scan", "set it to true")
    if settings.threats_body == 0:
        yield WeakSetting("CHURCH_THREATS_BODY", "the threat scan reads no request body", "leave it unset")
    if settings.log_level == "ERROR":
        yield WeakSetting("LOG_LEVEL", "security events and refused requests are not logged", "set it to INFO")
