"""Deployments with their commits, and incidents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from ops.seed.load import Row
from ops.seed.size import Size, Span, scatter, share

_BROKEN_EVERY = 15
_HOTFIX_EVERY = 20


@dataclass(frozen=True)
class Deliveries:
    """All deployments of the site: three quarters to the last environment, as staging has more."""

    size: Size
    span: Span
    environments: tuple[str, ...]

    @cached_property
    def _step(self) -> timedelta:
        return (self.span.now - self.span.start) / (self.size.deployments + 1)

    def environment(self, number: int) -> str:
        return self.environments[0 if number % 4 == 0 else -1]

    def finished(self, number: int) -> datetime:
        return self.span.start + self._step * number

    def status(self, number: int) -> str:
        return "failure" if number % 12 == 3 else "rollback" if number % 60 == 8 else "success"

    def commits(self, number: int) -> list[tuple[str, datetime]]:
        """Sha and time of each commit, some four."""
        numbers = range(number * 8, number * 8 + 1 + scatter(number, 52) % 7)
        return [
            (f"{scatter(one, 50):016x}" * 2 + "a1b2c3d4", self._committed(number, share(one, 51))) for one in numbers
        ]

    def _committed(self, number: int, mixed: float) -> datetime:
        return self.finished(number) - timedelta(days=6) * mixed**3

    def deployments(self) -> Iterator[Row]:
        for number in range(1, self.size.deployments + 1):
            commits = self.commits(number)
            finished = self.finished(number)
            yield {
                "id": number,
                "ref": f"deploy-{number}",
                "environment": self.environment(number),
                "status": self.status(number),
                "kind": "hotfix" if number % _HOTFIX_EVERY == 0 else "normal",
                "version": f"{number // 1000}.{number // 10 % 100}.{number % 10}",
                "commit_sha": commits[0][0],
                "commits": [{"sha": sha, "committed_at": at.isoformat()} for sha, at in commits],
                "url": f"https://ci.example/{number}",
                "started_at": finished - timedelta(minutes=6),
                "finished_at": finished,
                "recorded_at": finished,
            }

    def delivered(self) -> Iterator[Row]:
        for number in range(1, self.size.deployments + 1):
            if self.status(number) != "success":
                continue
            finished = self.finished(number)
            for sha, committed in self.commits(number):
                yield {
                    "environment": self.environment(number),
                    "sha": sha,
                    "deployment_id": number,
                    "committed_at": committed,
                    "delivered_at": finished,
                    "lead_seconds": (finished - committed).total_seconds(),
                }

    def incidents(self) -> Iterator[Row]:
        for number in range(_BROKEN_EVERY, self.size.deployments + 1, _BROKEN_EVERY):
            yield self._incident(number, self.finished(number) + timedelta(minutes=9))

    def _incident(self, number: int, opened: datetime) -> dict[str, Any]:
        seconds = 60 + 40_000 * share(number, 53) ** 4
        resolved = opened + timedelta(seconds=seconds)
        still_open = resolved > self.span.now
        return {
            "ref": f"incident-{number}",
            "environment": self.environment(number),
            "title": "Answers are slow" if number % 2 else "Errors above one in a hundred",
            "severity": ("critical", "warning")[number % 2],
            "fingerprint": f"{scatter(number, 54):016x}",
            "deployment_id": number,
            "confidence": 0.8,
            "opened_at": min(opened, self.span.now),
            "resolved_at": None if still_open else resolved,
            "seconds": None if still_open else seconds,
            "changes": 1,
            "recorded_at": min(opened, self.span.now),
        }
