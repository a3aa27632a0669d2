"""Ask the telemetry store for a page. A store that does not answer is said on the page, which shows the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from church.blueprints.admin.area import bp
from church.config import current_settings
from church.services import telemetry_queries
from church.services.telemetry_queries import Answer, TelemetryQueryError, TelemetryStoreDownError


class StoreAnswers:
    """The answers for one page; once the store is down, it is not asked again."""

    def __init__(self) -> None:
        self._settings = current_settings()
        self.is_down = False
        self.problem = ""
        """Why a question has no answer, although the store runs; empty if all have one."""

    def ask(self, query: str, **args: Any) -> Answer:
        """The answer to a question; without rows if there is none. Raises BadQueryError."""
        if self.is_down:
            return Answer()
        try:
            return telemetry_queries.ask(self._settings, query, **args)
        except TelemetryStoreDownError:
            self.is_down = True
        except TelemetryQueryError as error:
            self.problem = error.detail or str(error)
        return Answer()


def to_moment(micros: int) -> datetime:
    """The time of a row, in UTC."""
    return datetime.fromtimestamp(micros / 1e6, UTC)


def read_json(text: str | None) -> Any:
    """What a column of JSON text holds; None for none."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def list_facts(row: Mapping[str, Any], shown: frozenset[str]) -> list[tuple[str, Any]]:
    """The names and values of a row that are set, without those in ``shown``; its ``extra`` fields come last."""
    facts = [(name, value) for name, value in row.items() if value is not None and name not in {*shown, "extra"}]
    extra = read_json(row.get("extra"))
    return facts + list(extra.items() if isinstance(extra, dict) else ())


bp.add_app_template_filter(to_moment, "moment")
