"""What metrics there are, with the values of their labels, for those who choose one to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from church.telemetry_store.metrics.exposition import SHARED, Family, Reader
from church.telemetry_store.metrics.increases import COUNTED, FROM_DATABASE

MOST_VALUES = 200


def describe(reader: Reader, more: Mapping[str, Family]) -> list[dict[str, Any]]:
    """Every metric by name that ``reader`` has read, and ``more``: kind, source, help, values of its labels."""
    families = {**reader.families, **more}
    values: dict[str, dict[str, set[str]]] = {name: {} for name in families if name != SHARED}
    for series in reader.list_series():
        if series.name in values:
            for label, value in json.loads(series.labels).items():
                values[series.name].setdefault(label, set()).add(value)
    return [
        {
            "name": name,
            "kind": families[name].kind,
            "source": FROM_DATABASE if name in reader.shared else COUNTED,
            "help": families[name].help,
            "labels": {label: sorted(found)[:MOST_VALUES] for label, found in sorted(values[name].items())},
        }
        for name in sorted(values)
    ]
