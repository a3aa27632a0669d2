"""What an attack is, and what it did to another client."""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, Self

import ops.faults
from ops.bench.client import percentile
from ops.bench.server import Server
from ops.faults.other_client import OtherClient

FLOOR = 0.05
"""Seconds. Nobody notices less, however quick the idle site is."""
_RATIO = 5


class Reader(Protocol):
    """The other client, with the seconds that its requests took and the number of those that failed."""

    times: list[float]
    refused: int

    def read_for(self, seconds: float) -> Self:
        """Send requests for so long; returns itself with their times."""


@dataclass(frozen=True)
class Attack:
    """One client's attack. It runs in a process of its own, from 127.0.0.1."""

    name: str
    sends: str
    """What it sends, in a few words, for the table in docs/faults.md."""
    run: Callable[[int, Any], None]
    """Attack the site on this port. Called again and again, with what ``prepare`` returned, until the time is over."""
    prepare: Callable[[Server], Any] = lambda server: None
    """Make what the attack needs, such as members; returns something that can be pickled."""
    settings: dict[str, str] = field(default_factory=dict)
    """Settings of the site, beside those by default."""
    other: Callable[[int, Any], Reader] = lambda port, _prepared: OtherClient(port)
    """Make the other client of the site on this port, from what ``prepare`` returned."""


@dataclass(frozen=True)
class Outcome:
    """What the other client saw, in seconds, and what the site lost."""

    name: str
    idle: list[float]
    attacked: list[float]
    refused: int
    """Requests of the other client without an answer, or with another status than 200."""
    workers_lost: int

    @property
    def idle_p99(self) -> float:
        """The 99th percentile without the attack."""
        return percentile(self.idle, 0.99)

    @property
    def attacked_p99(self) -> float:
        """The 99th percentile during the attack."""
        return percentile(self.attacked, 0.99)

    @property
    def is_bounded(self) -> bool:
        """Whether the other client was served, in good time, and no worker was lost."""
        in_time = self.attacked_p99 <= max(_RATIO * self.idle_p99, FLOOR)
        return in_time and not self.refused and not self.workers_lost

    def row(self, sends: str) -> str:
        """A row for the table in docs/faults.md."""
        times = f"{self.idle_p99 * 1e3:.0f} ms | {self.attacked_p99 * 1e3:.0f} ms"
        return f"| `{self.name}` | {sends} | {times} | {self.refused} of {len(self.attacked)} | {self.workers_lost} |"


def list_attacks() -> Iterator[Attack]:
    """List the attacks that the modules of this package define as ``ATTACKS``."""
    for module in pkgutil.iter_modules(ops.faults.__path__):
        if not module.name.startswith("_"):
            yield from getattr(import_module(f"ops.faults.{module.name}"), "ATTACKS", ())


def repeat(name: str, port: int, prepared: Any) -> None:
    """Attack until this process is ended. It leaves the cores to the site and to the other client."""
    os.nice(10)
    attack = next(attack for attack in list_attacks() if attack.name == name)
    while True:
        attack.run(port, prepared)
