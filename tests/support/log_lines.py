"""Read the log lines of a site, by whichever names it writes them."""

from __future__ import annotations

import json
from typing import Any

from church.lib.log_fields import read_plainly


def parse_record(line: bytes | str) -> dict[str, Any]:
    """The fields of a log line with their plain names. A broken line fails."""
    return read_plainly(json.loads(line))
